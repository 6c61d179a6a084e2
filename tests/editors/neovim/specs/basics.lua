-- Attaching, diagnostics, hover, and Neovim's own code actions.

local T, test = T, T.test
T.script({})

local AREA = 'def area(width: int, height: int) -> int:\n    return ..$0.  # fill: width * height\n'

test('attaches and shows a hint with the expected type on every hole', function()
  local bufnr, client = T.attached(AREA)
  local diagnostics = T.eventually(function()
    local found = vim.diagnostic.get(bufnr)
    return #found == 1 and found[1].message:find('expected', 1, true) and found
  end, 'a diagnostic that names σ')
  T.eq('Hole: expected `int`', diagnostics[1].message)
  T.eq(vim.diagnostic.severity.HINT, diagnostics[1].severity)
  T.eq({ 1, 11, 14 }, { diagnostics[1].lnum, diagnostics[1].col, diagnostics[1].end_col })
  T.eq('astral_lsp', client.name)
  T.eq(vim.env.ASTRAL_TEST_HOME .. '/project', client.root_dir)
end)

test('hover on a hole shows σ, the hint and Γ', function()
  local bufnr, client = T.attached(AREA)
  T.eventually(function()
    return #vim.diagnostic.get(bufnr) == 1 and vim.diagnostic.get(bufnr)[1].message:find('int', 1, true)
  end, 'the hole is analysed')
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  local answer = client:request_sync('textDocument/hover', params, 5000, bufnr)
  T.has(answer.result.contents.value, '**Hole** (return): expected')
  T.has(answer.result.contents.value, '> fill: width * height')
  T.has(answer.result.contents.value, '`items` | `list[int]`')
  vim.lsp.buf.hover()
  T.eventually(function()
    return vim.iter(vim.api.nvim_list_wins()):any(function(window)
      return vim.api.nvim_win_get_config(window).relative ~= ''
    end)
  end, 'the hover window opens')
end)

test("Neovim's own code action lists, resolves and applies a fill", function()
  local bufnr = T.attached(AREA)
  local asked = T.select(function()
    return 1
  end)
  vim.lsp.buf.code_action()
  T.eventually(function()
    return T.text(bufnr):find('return width * height', 1, true)
  end, 'the fill is inserted')
  T.eq({ 'Fill hole' }, asked[1].items)
  vim.cmd.undo()
  vim.lsp.buf.code_action()
  T.eventually(function()
    return #asked == 2
  end, 'the list comes again')
  T.eq('Fill hole: `width * height` · types ✓ · tests ✓ 3', asked[2].items[1])
  T.has(table.concat(asked[2].items, '\n'), 'Insert unverified: `fourth_1` · types ? · tests ✗')
end)

test('the edit of a resolved action names the version it was made for', function()
  local bufnr, client = T.attached(AREA)
  local params = vim.lsp.util.make_range_params(0, client.offset_encoding)
  params.context = { diagnostics = {} }
  local actions = client:request_sync('textDocument/codeAction', params, 5000, bufnr).result
  local resolved = client:request_sync('codeAction/resolve', actions[1], 10000, bufnr).result
  T.eq(vim.lsp.util.buf_versions[bufnr], resolved.edit.documentChanges[1].textDocument.version)
end)

test('inlay hints show σ where the person wants them', function()
  require('astral_lsp').setup({ inlay_hints = true })
  local bufnr = T.attached(AREA)
  T.eventually(function()
    local hint = vim.lsp.inlay_hint.get({ bufnr = bufnr })[1]
    return hint and hint.inlay_hint.label == ': int'
  end, 'the inlay hint')
  require('astral_lsp').setup()
end)

test('the lens above a function says what is known and follows the fills', function()
  local bufnr = T.attached(AREA)
  T.eventually(function()
    local lens = vim.lsp.codelens.get(bufnr)[1]
    return lens and lens.command.title == 'Fill'
  end, 'the lens')
  require('astral_lsp').fill({ on_done = function() end })
  T.eventually(function()
    return #T.engine_log('fill') > 0
  end, 'the hole is filled')
end)

test('the server is told where the cursor rests, and only on a hole', function()
  require('astral_lsp').setup({ rest = 50 })
  local bufnr = T.attached(AREA)
  T.eventually(function()
    return #vim.diagnostic.get(bufnr) == 1
  end, 'the hole is marked')
  local before = #T.engine_log('read_ahead')
  vim.api.nvim_win_set_cursor(0, { 1, 5 })
  vim.api.nvim_exec_autocmds('CursorMoved', { buffer = bufnr })
  vim.wait(600)
  T.eq(before, #T.engine_log('read_ahead'), 'readings beside the hole')
  vim.api.nvim_win_set_cursor(0, { 2, 12 })
  vim.api.nvim_exec_autocmds('CursorMoved', { buffer = bufnr })
  T.eventually(function()
    return #T.engine_log('read_ahead') == before + 1
  end, 'the context is read ahead')
  require('astral_lsp').setup()
end)

test('a buffer that is not Python has no server and commands say so', function()
  vim.cmd.enew()
  vim.cmd.AstralFill()
  T.told('no server is attached to this buffer')
  T.eq('', require('astral_lsp').status())
end)
