-- Configuration that `vim.lsp.enable('astral_lsp')` starts the server with.
-- Change it with `vim.lsp.config('astral_lsp', { ... })`; see `:help astral_lsp-server`.

---@type vim.lsp.Config
return {
  cmd = { 'astral-lsp', '--stdio' },
  filetypes = { 'python' },
  root_markers = { { 'pyproject.toml', 'setup.cfg', 'setup.py', 'mypy.ini' }, '.git' },
  capabilities = require('astral_lsp.protocol').capabilities(),
  handlers = require('astral_lsp.protocol').handlers(),
  commands = require('astral_lsp.protocol').commands(),
  settings = { ['astral-lsp'] = vim.empty_dict() },
  on_attach = function(client, bufnr)
    require('astral_lsp.attach').on_attach(client, bufnr)
  end,
  on_exit = function(code, signal, client_id)
    vim.schedule(function() -- this is a fast event
      require('astral_lsp.life').on_exit(code, signal, client_id)
    end)
  end,
}
