-- Fills that take time: cancelling, typing meanwhile, status.

local T, test = T, T.test
T.script({ delay = 1.2 })

local AREA = 'def area(width: int, height: int) -> int:\n    return ..$0.  # fill: width * height\n'

---@return table holder with `outcome`
local function start(request)
  local holder = {}
  require('astral_lsp').fill(vim.tbl_extend('force', {
    on_done = function(outcome)
      holder.outcome = outcome
    end,
  }, request or {}))
  return holder
end

local function drawing(since)
  T.eventually(function()
    return #T.engine_log('fill') > since
  end, 'the engine draws')
end

local function finished(holder)
  return T.eventually(function()
    return holder.outcome
  end, 'the fill ends')
end

test(':AstralCancel stops a fill at once and nothing changes', function()
  local bufnr = T.attached(AREA)
  local before = #T.engine_log('fill')
  local holder = start()
  drawing(before)
  T.eq(1, require('astral_lsp.fill').running())
  local began = vim.uv.now()
  vim.cmd.AstralCancel()
  T.eq('failed', finished(holder))
  T.told('cancelled')
  assert(vim.uv.now() - began < 1000, 'cancelling took ' .. (vim.uv.now() - began) .. ' ms')
  T.eq(0, require('astral_lsp.fill').running())
  T.has(T.text(bufnr), 'return ...')
  T.eventually(function()
    return #T.engine_log('stopped') + #T.engine_log('cancelled') > 0
  end, 'the engine hears of it')
end)

test(
  "cancelling from the progress bar ends the fill here too, although Neovim drops the server's answer",
  function()
    local bufnr, client = T.attached(AREA)
    local before = #T.engine_log('fill')
    local token
    vim.api.nvim_create_autocmd('LspProgress', {
      callback = function(event)
        if event.data.params.value.kind == 'begin' then -- not the end of the bar before
          token = event.data.params.token
          return true
        end
      end,
    })
    local holder = start()
    drawing(before)
    T.eventually(function()
      return token
    end, 'the progress bar')
    client:notify('window/workDoneProgress/cancel', { token = token })
    T.eq('failed', finished(holder))
    T.has(T.text(bufnr), 'return ...')
  end
)

test('typing above the hole meanwhile: the fill lands where the hole is now', function()
  local bufnr = T.attached(AREA)
  local before = #T.engine_log('fill')
  local holder = start({ best = true })
  drawing(before)
  vim.api.nvim_buf_set_lines(bufnr, 0, 0, false, { 'import os  # 🎉', '' })
  T.eq('inserted', finished(holder))
  T.eq(
    'import os  # 🎉\n\ndef area(width: int, height: int) -> int:\n    return width * height  # fill: width * height',
    T.text(bufnr)
  )
end)

test(
  'typing above the hole meanwhile: the picker shows the hole where it is now and says the check is older',
  function()
    local bufnr = T.attached(AREA)
    local asked = T.select(function()
      return 1
    end)
    local before = #T.engine_log('fill')
    local holder = start()
    drawing(before)
    vim.api.nvim_buf_set_lines(bufnr, 0, 0, false, { 'import os', '' })
    T.eq('inserted', finished(holder))
    T.has(asked[1].prompt, 'checked before your last edits')
    T.eq(
      '1      return width * height  # fill: width * height   types ✓ · tests ✓ 3',
      asked[1].preview[1]
    )
    T.has(T.text(bufnr), 'import os\n\ndef area(width: int, height: int) -> int:\n    return width * height')
  end
)

test('editing the hole itself meanwhile: refused in words, the edit is kept', function()
  local bufnr = T.attached(AREA)
  local before = #T.engine_log('fill')
  local holder = start({ best = true })
  drawing(before)
  vim.api.nvim_buf_set_text(bufnr, 1, 11, 1, 14, { '0' })
  T.eq('failed', finished(holder))
  T.eq('def area(width: int, height: int) -> int:\n    return 0  # fill: width * height', T.text(bufnr))
  T.has(vim.fn.execute('messages'), 'was edited since version')
end)

test('editing the hole meanwhile: no picker opens for a hole that is gone', function()
  local bufnr = T.attached(AREA)
  local asked = T.select(function()
    return 1
  end)
  local before = #T.engine_log('fill')
  local holder = start()
  drawing(before)
  vim.api.nvim_buf_set_text(bufnr, 1, 11, 1, 14, { '0' })
  T.eq('failed', finished(holder))
  T.told('the hole was edited while it was being filled; nothing was changed')
  T.eq({}, asked)
end)

test('an edit for another version is refused with the reason, not half applied', function()
  local bufnr, client = T.attached(AREA)
  local range = { start = { line = 1, character = 11 }, ['end'] = { line = 1, character = 14 } }
  local version = vim.lsp.util.buf_versions[bufnr]
  local identifier = { uri = vim.uri_from_bufnr(bufnr), version = version - 1 }
  local edit =
    { documentChanges = { { textDocument = identifier, edits = { { range = range, newText = '0' } } } } }
  local answer = client.handlers['workspace/applyEdit'](nil, { edit = edit }, { client_id = client.id })
  T.eq(false, answer.applied)
  T.has(
    answer.failureReason,
    ('the edit is for version %d of the buffer, which is at %d'):format(version - 1, version)
  )
  T.has(T.text(bufnr), 'return ...')
  identifier.version = version
  T.eq(true, client.handlers['workspace/applyEdit'](nil, { edit = edit }, { client_id = client.id }).applied)
  T.has(T.text(bufnr), 'return 0')
end)

test('closing the buffer during a fill harms nothing', function()
  local bufnr = T.attached(AREA)
  local before = #T.engine_log('fill')
  start()
  drawing(before)
  vim.cmd('bwipeout! ' .. bufnr)
  T.eventually(function()
    return require('astral_lsp.fill').running() == 0
  end, 'the request ends')
  T.eq('', vim.v.errmsg)
end)

test('the status line text follows the server', function()
  local bufnr = T.attached(AREA)
  T.eventually(function()
    return require('astral_lsp').status(bufnr) == 'astral: 1 hole'
  end, 'idle with one hole, not ' .. require('astral_lsp').status(bufnr))
  local seen = {}
  vim.api.nvim_create_autocmd('User', {
    pattern = 'AstralStatus',
    callback = function()
      seen[#seen + 1] = require('astral_lsp').status(bufnr)
    end,
  })
  local holder = start({ best = true })
  finished(holder)
  T.eventually(function()
    return vim.list_contains(seen, 'astral: filling, 1 hole')
      and require('astral_lsp').status(bufnr) == 'astral'
  end, 'filling, then idle: ' .. vim.inspect(seen))
end)
