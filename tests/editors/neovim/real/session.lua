-- A person's session with the real server and the real weights: read about a hole, look at the list of actions, fill
-- with a choice, refine, undo, fill what is left, insert what a check refused.

local T, test = T, T.test

local project = vim.env.ASTRAL_TEST_HOME .. '/orders'
vim.fn.system({ 'cp', '-r', T.repository .. '/examples/orders', project })

vim.lsp.config('astral_lsp', {
  cmd = { vim.env.ASTRAL_TEST_PYTHON, '-m', 'astral_lsp.cli', '--stdio' },
  init_options = { trusted = true },
  settings = { ['astral-lsp'] = { interpreter = vim.env.ASTRAL_TEST_PYTHON, fill = { budgetS = 60 } } },
})
vim.lsp.enable('astral_lsp')

local MINUTES = 5 * 60 * 1000
local HOLES = 6

local function note(...)
  io.stderr:write(('session: ' .. (...) .. '\n'):format(select(2, ...)))
end

local function seconds(run)
  local began = vim.uv.hrtime()
  local value = run()
  return value, (vim.uv.hrtime() - began) / 1e9
end

---Puts the cursor on the hole of the line that has `text`.
local function go(text)
  for row, line in ipairs(vim.api.nvim_buf_get_lines(0, 0, -1, false)) do
    if line:find(text, 1, true) then
      local col = line:find('...', 1, true) or line:find('raise', 1, true)
      vim.api.nvim_win_set_cursor(0, { row, col })
      vim.api.nvim_exec_autocmds('CursorMoved', { buffer = vim.api.nvim_get_current_buf() })
      return row
    end
  end
  error('no line has ' .. text)
end

local function holes_left(bufnr)
  return T.eventually(function()
    local holes
    require('astral_lsp.client').command(
      T.client(bufnr),
      'listHoles',
      { uri = vim.uri_from_bufnr(bufnr) },
      bufnr,
      function(err, answer)
        holes = err == nil and answer
      end
    )
    vim.wait(2000, function()
      return holes ~= nil
    end)
    return holes
  end, 'the list of holes')
end

local function open()
  vim.cmd.edit(project .. '/orders.py')
  local bufnr = vim.api.nvim_get_current_buf()
  local client = T.client(bufnr)
  T.eventually(function()
    local marks = vim.diagnostic.get(bufnr)
    return #marks == HOLES
      and vim.iter(marks):any(function(mark)
        return mark.message:find('list[Order]', 1, true)
      end)
  end, 'every hole is marked, with the type that mypy expects', MINUTES)
  return bufnr, client
end

test('hover tells the type, the hint and the names that fit', function()
  local bufnr, client = open()
  go('amounts: list[int] = ...')
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  local text = client:request_sync('textDocument/hover', params, 5000, bufnr).result.contents.value
  T.has(text, 'list[int]')
  T.has(text, 'Sum of the totals of all lines')
  T.has(text, '`self.lines` | `list[Line]`')
end)

test('a chosen fill is inserted with its verdicts, and one undo takes it back', function()
  local bufnr = open()
  local before = T.text(bufnr)
  go('amounts: list[int] = ...')
  local asked = T.select(function()
    return 1
  end)
  local outcome
  local _, took = seconds(function()
    require('astral_lsp').fill({
      on_done = function(value)
        outcome = value
      end,
    })
    return T.eventually(function()
      return outcome
    end, 'the fill ends', MINUTES)
  end)
  T.eq('inserted', outcome, vim.inspect(T.said))
  note('first fill (the model is loaded): %.1f s, %s', took, asked[1].items[1])
  assert(T.text(bufnr) ~= before)
  vim.cmd('silent undo')
  T.eq(before, T.text(bufnr))
end)

test('the list of code actions names what can be done', function()
  local bufnr = open()
  go('amounts: list[int] = ...')
  local asked = T.select(function()
    return nil
  end)
  vim.lsp.buf.code_action()
  T.eventually(function()
    return #asked == 1
  end, 'the list')
  local all = table.concat(asked[1].items, '\n')
  T.has(all, 'Fill hole')
  T.has(all, 'Fill all 6 holes of this file')
  note('actions:\n  %s', table.concat(asked[1].items, '\n  '))
  assert(bufnr)
end)

test('refine leaves one level, and holes below it', function()
  local bufnr = open()
  local before = T.text(bufnr)
  local row = go('return max(self.lines, key=...)')
  vim.wait(1500) -- the cursor rests: the context is read ahead
  local _, took = seconds(function()
    require('astral_lsp').refine()
    return T.eventually(function()
      return T.text(bufnr) ~= before or T.said[1]
    end, 'a refinement or a sentence', MINUTES)
  end)
  local line = vim.api.nvim_buf_get_lines(bufnr, row - 1, row, true)[1]
  note('refine: %.1f s, %s %s', took, vim.trim(line), vim.inspect(T.said))
  assert(T.text(bufnr) ~= before or T.said[1].text:find('no candidate', 1, true))
  vim.cmd('silent! undo')
  T.eq(before, T.text(bufnr))
end)

test('all holes of the file are filled as one edit, what is left is named, one undo takes all back', function()
  local bufnr = open()
  local before = T.text(bufnr)
  vim.cmd('messages clear')
  local message, took = seconds(function()
    vim.cmd('AstralFillAll!')
    return T.eventually(function() -- Neovim's own handler shows what the server says
      return vim.fn.execute('messages'):match('filled %d of 6 holes[^\n]*')
    end, 'what was filled', MINUTES)
  end)
  note('fill all: %.1f s, %s', took, message)
  local filled = assert(tonumber(message:match('filled (%d)')))
  assert(filled > 0)
  T.eq(HOLES - filled, #holes_left(bufnr), 'holes that are left')
  vim.cmd('silent undo')
  T.eq(before, T.text(bufnr))
  T.eq(HOLES, #holes_left(bufnr))
end)
