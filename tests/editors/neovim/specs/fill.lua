-- Filling through the plugin's commands: pickers, the best fill, refusals, explanations.

local T, test = T, T.test
T.script({})

local AREA = 'def area(width: int, height: int) -> int:\n    return ..$0.  # fill: width * height\n'
local TWO = [[
def first() -> int:
    return ...  # fill: 1

def second() -> int:
    return .$0..  # fill: 2
]]

local function shown(bufnr)
  return T.eventually(function()
    local text = vim.iter(vim.api.nvim_list_bufs()):find(function(other)
      return vim.bo[other].filetype == 'astral_lsp_picker'
    end)
    return text
      and vim.api.nvim_buf_line_count(text) == 4 -- it grows as the candidates come
      and { list = T.text(text), preview = require('astral_lsp.preview').lines(bufnr), bufnr = text }
  end, 'the picker opens')
end

test('vim.ui.select gets every candidate with its verdicts, and the choice is inserted', function()
  local bufnr = T.attached(AREA)
  local asked = T.select(function()
    return 2
  end)
  vim.cmd.AstralFill()
  T.eventually(function()
    return T.text(bufnr):find('return second_1', 1, true)
  end, 'the second candidate is inserted')
  T.eventually(function()
    return vim.deep_equal({ 2, #'    return second_' }, vim.api.nvim_win_get_cursor(0))
  end, 'the cursor is on the last character of the fill')
  vim.cmd('silent undo')
  T.has(T.text(bufnr), 'return ...')
  T.has(asked[1].prompt, 'Fill the hole of int')
  local rows = asked[1].items
  T.eq('✓ width * height   types ✓ · tests ✓ 3', rows[1])
  T.eq('? second_1   types ✓ · tests –', rows[2])
  local refused = { rows[3], rows[4] }
  table.sort(refused)
  T.eq({ "✗ 'third_1'   types ✗ · tests –", '✗ fourth_1   types ? · tests ✗' }, refused)
  T.eq({ '… draw other candidates', '… explain the verdicts' }, { rows[5], rows[6] })
end)

test('while choosing, every candidate stands numbered under the hole, and is gone afterwards', function()
  local bufnr = T.attached(AREA)
  local asked = T.select(function()
    return nil
  end)
  vim.cmd.AstralFill()
  T.eventually(function()
    return #asked == 1
  end, 'the question')
  T.eq('1      return width * height  # fill: width * height   types ✓ · tests ✓ 3', asked[1].preview[1])
  T.eq(4, #asked[1].preview)
  T.eq({}, require('astral_lsp.preview').lines(bufnr))
  T.has(T.text(bufnr), 'return ...')
end)

test('the verdicts stand behind an inserted fill until its line changes', function()
  local bufnr = T.attached(AREA)
  T.select(function()
    return 1
  end)
  vim.cmd.AstralFill()
  T.eventually(function()
    return require('astral_lsp.inserted').texts(bufnr)[1]
  end, 'the virtual text')
  T.eq({ [1] = 'types ✓ · tests ✓ 3' }, require('astral_lsp.inserted').texts(bufnr))
  vim.api.nvim_buf_set_lines(bufnr, 0, 0, false, { '# above' })
  T.eq({ [2] = 'types ✓ · tests ✓ 3' }, require('astral_lsp.inserted').texts(bufnr), 'it moves along')
  vim.api.nvim_buf_set_text(bufnr, 2, 4, 2, 4, { 'x' })
  T.eq({}, require('astral_lsp.inserted').texts(bufnr), 'it goes when the line changes')
end)

test(':AstralFill! inserts the best fill without asking', function()
  local bufnr = T.attached(AREA)
  local asked = T.select(function()
    return 1
  end)
  vim.cmd('AstralFill!')
  T.eventually(function()
    return T.text(bufnr):find('return width * height', 1, true)
  end, 'the best candidate is inserted')
  T.eq({}, asked)
end)

test('the live picker previews the row under its cursor and inserts it on <CR>', function()
  require('astral_lsp').setup({ picker = 'live' })
  local bufnr = T.attached(AREA)
  vim.cmd.AstralFill()
  local picker = shown(bufnr)
  T.eq({
    ' 1 ✓ width * height   types ✓ · tests ✓ 3',
    ' 2 ? second_1         types ✓ · tests –',
  }, vim.list_slice(vim.split(picker.list, '\n'), 1, 2))
  T.eq({ '│     return width * height  # fill: width * height   types ✓ · tests ✓ 3' }, picker.preview)
  vim.api.nvim_win_set_cursor(0, { 2, 0 })
  vim.api.nvim_exec_autocmds('CursorMoved', { buffer = picker.bufnr })
  T.has(require('astral_lsp.preview').lines(bufnr)[1], 'return second_1')
  T.eq('│ tests not run: untrusted workspace', require('astral_lsp.preview').lines(bufnr)[2])
  vim.api.nvim_feedkeys(vim.keycode('<CR>'), 'xt', false)
  T.eventually(function()
    return T.text(bufnr):find('return second_1', 1, true)
  end, 'the row is inserted')
  T.eq({}, require('astral_lsp.preview').lines(bufnr))
  T.eq(bufnr, vim.api.nvim_get_current_buf())
  require('astral_lsp').setup()
end)

test('leaving the live picker changes nothing', function()
  require('astral_lsp').setup({ picker = 'live' })
  local bufnr = T.attached(AREA)
  local outcome
  require('astral_lsp').fill({
    on_done = function(value)
      outcome = value
    end,
  })
  shown(bufnr)
  vim.api.nvim_feedkeys('q', 'xt', false)
  T.eventually(function()
    return outcome
  end, 'the picker ends')
  T.eq('left', outcome)
  T.has(T.text(bufnr), 'return ...')
  T.eq({}, require('astral_lsp.preview').lines(bufnr))
  require('astral_lsp').setup()
end)

test('other candidates are drawn on request: what was seen is not drawn again', function()
  T.attached(AREA)
  local before = #T.engine_log('fill')
  local asked
  asked = T.select(function(items)
    return #asked == 0 and vim.fn.index(items, '… draw other candidates') + 1 or nil
  end)
  vim.cmd.AstralFill()
  T.eventually(function()
    return #asked == 2
  end, 'the second question')
  T.eq(2, #T.engine_log('fill') - before)
end)

test('a fill of several lines keeps the indentation of its block', function()
  local bufnr = T.attached('def total(items: list[int]) -> int:\n    ..$0.\n')
  local client = T.client(bufnr)
  local range = { start = { line = 1, character = 4 }, ['end'] = { line = 1, character = 7 } }
  local fill = {
    text = 'result = 0\n    for item in items:\n        result += item\n    return result',
    verified = true,
    verdicts = {
      syntax = { status = 'passed' },
      types = { status = 'passed' },
      tests = { status = 'not_run' },
    },
  }
  local place = require('astral_lsp.client').place(client, bufnr, range)
  require('astral_lsp.preview').show(place, { fill })
  T.eq({
    '│     result = 0',
    '      for item in items:',
    '          result += item',
    '      return result   types ✓ · tests –',
  }, require('astral_lsp.preview').lines(bufnr))
  T.has(require('astral_lsp.verdicts').row(fill), '✓ result = 0 … +3 lines   types ✓ · tests –')
end)

test('explain opens the reasons in a scratch buffer', function()
  local bufnr = T.attached(AREA)
  T.select(function()
    return nil
  end)
  local done
  require('astral_lsp').fill({
    on_done = function()
      done = true
    end,
  })
  T.eventually(function()
    return done
  end, 'the fill')
  vim.cmd.AstralExplain()
  T.eventually(function()
    return vim.api.nvim_get_current_buf() ~= bufnr
  end, 'the explanation opens')
  T.eq('nofile', vim.bo.buftype)
  T.eq('markdown', vim.bo.filetype)
  T.has(T.text(), "'third_1'")
  T.has(T.text(), 'Incompatible types (got "str", expected "int")')
  T.has(T.text(), 'assert 3 == 4')
  T.eq(false, vim.bo.modifiable)
end)

test('a place without a hole is explained and nothing changes', function()
  local bufnr = T.attached('x = 1$0\n')
  vim.cmd.AstralFill()
  T.told('there is no hole here')
  T.eq('x = 1', T.text(bufnr))
end)

test(':AstralFillAll fills the function, with ! the file', function()
  local bufnr = T.attached(
    'def both(a: int) -> int:\n    x = ...  # fill: a + 1\n    return ..$0.  # fill: x * 2\n\ny = ...  # fill: 3\n'
  )
  vim.cmd.AstralFillAll()
  T.eventually(function()
    return T.text(bufnr):find('return x * 2', 1, true)
  end, 'the function is filled')
  T.has(T.text(bufnr), 'x = a + 1')
  T.has(T.text(bufnr), 'y = ...')
  vim.cmd('AstralFillAll!')
  T.eventually(function()
    return T.text(bufnr):find('y = 3', 1, true)
  end, 'the file is filled')
end)

test(':AstralRefine inserts one level of the best fill and leaves holes', function()
  local bufnr =
    T.attached('def least(a: int, b: int) -> int:\n    return ..$0.  # fill: min(abs(a), abs(b))\n')
  vim.cmd.AstralRefine()
  T.eventually(function()
    return T.text(bufnr):find('return min(..., ...)', 1, true)
  end, 'one level')
end)

local SUM = 'def area(width: int, height: int) -> int:\n    return $0width + height  # fill: width * height\n'

local function select_sum()
  vim.cmd('normal! v3e' .. vim.keycode('<Esc>'))
end

test('a selected expression becomes a hole', function()
  local bufnr = T.attached(SUM)
  select_sum()
  vim.cmd("'<,'>AstralMakeHole")
  T.eventually(function()
    return T.text(bufnr):find('return ...  #', 1, true)
  end, 'the hole')
end)

test('a selection that is no expression is refused in words', function()
  local bufnr = T.attached(SUM)
  vim.cmd('normal! v2e' .. vim.keycode('<Esc>'))
  vim.cmd("'<,'>AstralMakeHole")
  T.told('Select a whole expression or whole statements')
  T.has(T.text(bufnr), 'return width + height')
end)

test('a selected expression is filled anew', function()
  local bufnr = T.attached(SUM)
  select_sum()
  T.select(function()
    return 1
  end)
  vim.cmd("'<,'>AstralFill")
  T.eventually(function()
    return not T.text(bufnr):find('width + height', 1, true)
  end, 'the selection is replaced')
  T.has(T.text(bufnr), 'return width * height  # fill')
end)

test('holes of the buffer go to the location list, of all buffers to the quickfix list', function()
  local first = T.attached(AREA)
  local bufnr = T.attached(TWO)
  T.eventually(function()
    return #vim.diagnostic.get(bufnr) == 2 and vim.diagnostic.get(bufnr)[2].message:find('int', 1, true)
  end, 'both holes are analysed')
  vim.cmd.AstralHoles()
  local items = T.eventually(function()
    local list = vim.fn.getloclist(0)
    return #list > 0 and list
  end, 'the location list')
  T.eq(
    { { 2, 12 }, { 5, 12 } },
    vim.tbl_map(function(item)
      return { item.lnum, item.col }
    end, items)
  )
  T.has(items[1].text, '...: expected int in first')
  vim.cmd.lclose()
  vim.cmd('AstralHoles!')
  items = T.eventually(function()
    local list = vim.fn.getqflist()
    return #list == 3 and list
  end, 'the quickfix list')
  T.eq(first, items[1].bufnr)
end)

test('next and previous go round and leave a jump', function()
  T.attached(TWO)
  T.eq({ 5, 12 }, vim.api.nvim_win_get_cursor(0))
  local function at(row, col)
    T.eventually(function()
      return vim.deep_equal({ row, col }, vim.api.nvim_win_get_cursor(0))
    end, ('the cursor at %d,%d'):format(row, col))
  end
  vim.cmd.AstralNext()
  at(2, 11)
  vim.cmd.AstralNext()
  at(5, 11)
  vim.cmd.AstralPrev()
  at(2, 11)
  vim.cmd.AstralPrev()
  at(5, 11)
  T.eq(2, vim.fn.getjumplist()[1][#vim.fn.getjumplist()[1]].lnum)
end)

test('astral-plane text before a hole: diagnostics, preview, insertion and places agree', function()
  local bufnr = T.attached('name = "𝒳🎉é"; value: int = .$0..  # fill: len("🎉")\n')
  T.select(function()
    return nil
  end)
  local diagnostic = T.eventually(function()
    return vim.diagnostic.get(bufnr)[1]
  end, 'the diagnostic')
  local line = vim.api.nvim_buf_get_lines(bufnr, 0, 1, true)[1]
  T.eq('...', line:sub(diagnostic.col + 1, diagnostic.end_col))
  local asked = T.select(function()
    return 1
  end)
  vim.cmd.AstralFill()
  T.eventually(function()
    return T.text(bufnr):find('value: int = len("🎉")', 1, true)
  end, 'the fill stands where the hole was')
  T.has(asked[1].preview[1], 'name = "𝒳🎉é"; value: int = len("🎉")  # fill')
  T.has(T.text(bufnr), 'name = "𝒳🎉é"; value')
end)

test('no candidate: the reason is said and nothing changes', function()
  T.script({ none = true })
  vim.lsp.enable('astral_lsp', false)
  T.eventually(function()
    return #vim.lsp.get_clients({ name = 'astral_lsp' }) == 0
  end, 'the old server stops')
  vim.lsp.enable('astral_lsp')
  local bufnr = T.attached(AREA)
  vim.cmd.AstralFill()
  T.told('no candidate within the budget')
  T.has(T.text(bufnr), 'return ...')
end)

test(':AstralFill! inserts nothing when every candidate was refused', function()
  vim.lsp.enable('astral_lsp', false)
  T.eventually(function()
    return #vim.lsp.get_clients({ name = 'astral_lsp' }) == 0
  end, 'the old server stops')
  T.script({ all_wrong = true })
  local bufnr = T.attached(AREA)
  vim.cmd('AstralFill!')
  T.told('no candidate passed, so nothing was inserted')
  T.has(T.text(bufnr), 'return ...')
end)
