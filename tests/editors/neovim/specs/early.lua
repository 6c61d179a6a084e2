-- The list opens with the first fill that passes and grows while others are drawn.

local T, test = T, T.test
T.script({ delay = 6 }) -- one candidate in 1.5 s

local AREA = 'def area(width: int, height: int) -> int:\n    return ..$0.  # fill: width * height\n'

local function rows()
  local bufnr = vim.iter(vim.api.nvim_list_bufs()):find(function(other)
    return vim.bo[other].filetype == 'astral_lsp_picker'
  end)
  return bufnr and vim.api.nvim_buf_get_lines(bufnr, 0, -1, false) or {}
end

local function footer()
  local config = vim.api.nvim_win_get_config(0)
  return config.footer and config.footer[1][1] or ''
end

local function opened()
  require('astral_lsp').setup({ picker = 'live' })
  local bufnr = T.attached(AREA)
  vim.cmd.AstralFill()
  T.eventually(function()
    return #rows() > 0
  end, 'the list opens')
  return bufnr
end

test('it opens with the first one and grows; the row under the cursor stays', function()
  local bufnr = opened()
  T.eq({ ' 1 ✓ width * height   types ✓ · tests ✓ 3' }, rows())
  T.has(footer(), 'more are being drawn')
  T.eq(1, require('astral_lsp.fill').running())
  T.has(require('astral_lsp.preview').lines(bufnr)[1], 'return width * height')
  T.eventually(function()
    return #rows() == 2
  end, 'the second row')
  vim.api.nvim_win_set_cursor(0, { 2, 0 })
  T.eventually(function()
    return #rows() == 4
  end, 'the other rows')
  T.eventually(function()
    return footer():find('r others', 1, true)
  end, 'the end of the run')
  T.eq({ 2, 0 }, vim.api.nvim_win_get_cursor(0))
  T.eq(4, vim.api.nvim_win_get_height(0))
  T.eq(0, require('astral_lsp.fill').running())
  vim.api.nvim_feedkeys(vim.keycode('<CR>'), 'xt', false)
  T.eventually(function()
    return T.text(bufnr):find('return second_1', 1, true)
  end, 'the row is inserted')
end)

test('one that is taken early is inserted, and the rest is cancelled without a word', function()
  local stopped = #T.engine_log('stopped')
  local bufnr = opened()
  vim.api.nvim_feedkeys(vim.keycode('<CR>'), 'xt', false)
  T.eventually(function()
    return T.text(bufnr):find('return width * height', 1, true)
  end, 'it is inserted')
  T.eventually(function()
    return #T.engine_log('stopped') == stopped + 1
  end, 'the engine is told to stop')
  T.eq({}, vim.tbl_map(function(entry)
    return entry.text
  end, T.said))
end)

test('leaving early cancels, and asking again starts afresh', function()
  local bufnr = opened()
  local runs = #T.engine_log('fill')
  vim.api.nvim_feedkeys('q', 'xt', false)
  T.eventually(function()
    return require('astral_lsp.fill').running() == 0
  end, 'the run ends')
  T.has(T.text(bufnr), 'return ...')
  vim.cmd.AstralFill()
  T.eventually(function()
    return #rows() == 4
  end, 'all rows')
  T.eq(runs + 1, #T.engine_log('fill'))
  vim.api.nvim_feedkeys('q', 'xt', false)
end)

test(':AstralFill! waits for the best of all', function()
  local bufnr = T.attached(AREA)
  vim.cmd('AstralFill!')
  T.eventually(function()
    return T.text(bufnr):find('return width * height', 1, true)
  end, 'the best is inserted')
  T.eq({}, rows())
end)

test('vim.ui.select opens after a second with what there is, and once more with all when one waits', function()
  require('astral_lsp').setup({ picker = 'select' })
  local bufnr = T.attached(AREA)
  local asked = T.select(function(items)
    return #items == 3 and 2 or 4 -- first the entry that waits, then the last candidate
  end)
  vim.cmd.AstralFill()
  T.eventually(function()
    return #asked == 1
  end, 'the first question')
  T.eq({
    '✓ width * height   types ✓ · tests ✓ 3',
    '… wait for the others, which are being drawn',
    '… explain the verdicts',
  }, asked[1].items)
  T.eq(1, require('astral_lsp.fill').running())
  T.eventually(function()
    return #asked == 2
  end, 'the second question')
  T.eq(6, #asked[2].items)
  T.eq('… draw other candidates', asked[2].items[5])
  T.eventually(function()
    return not T.text(bufnr):find('return ...', 1, true)
  end, 'the choice is inserted')
  T.eq(0, require('astral_lsp.fill').running())
end)

test('leaving vim.ui.select early cancels the rest', function()
  local stopped = #T.engine_log('stopped')
  require('astral_lsp').setup({ picker = 'select' })
  local bufnr = T.attached(AREA)
  T.select(function()
    return nil
  end)
  vim.cmd.AstralFill()
  T.eventually(function()
    return #T.engine_log('stopped') == stopped + 1
  end, 'the engine is told to stop')
  T.has(T.text(bufnr), 'return ...')
end)
