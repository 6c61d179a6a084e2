-- Neovim's own client without the plugin, as docs/editors.md describes it.

local T, test = T, T.test

vim.lsp.config('plain', {
  cmd = { vim.env.ASTRAL_TEST_PYTHON, T.repository .. '/tests/server/scripted.py' },
  cmd_env = { ASTRAL_TEST_SCRIPT = '{}' },
  filetypes = { 'python' },
  root_markers = { 'pyproject.toml', '.git' },
})
vim.lsp.enable('plain')

local AREA = 'def area(width: int, height: int) -> int:\n    return ..$0.  # fill: width * height\n'

local function messages(bufnr)
  return vim.tbl_map(function(diagnostic)
    return diagnostic.message
  end, vim.diagnostic.get(bufnr))
end

test('hints come once, and with the type as soon as it is known', function()
  local bufnr = T.open(AREA)
  T.eventually(function()
    return vim.deep_equal({ 'Hole: expected `int`' }, messages(bufnr))
  end, 'one hint with the type, nothing typed meanwhile')
  vim.api.nvim_buf_set_lines(bufnr, 0, 0, false, { 'x: int = ...' })
  T.eventually(function()
    return vim.deep_equal({ 'Hole: expected `int`', 'Hole: expected `int`' }, messages(bufnr))
  end, 'two hints after an edit')
end)

test('a code action fills the hole', function()
  local bufnr = T.open(AREA)
  T.eventually(function()
    return #vim.diagnostic.get(bufnr) == 1
  end, 'the server attaches')
  T.select(function()
    return 1
  end)
  vim.lsp.buf.code_action()
  T.eventually(function()
    return T.text(bufnr):find('return width * height', 1, true)
  end, 'the fill is inserted')
end)

vim.lsp.enable('plain', false)
