-- What happens in a buffer when the server attaches to it.

local config = require('astral_lsp.config')

local M = {}

---@param bufnr integer
function M.refresh_lenses(bufnr)
  if config.options.code_lens and vim.api.nvim_buf_is_loaded(bufnr) then
    vim.lsp.codelens.refresh({ bufnr = bufnr })
  end
end

---@param bufnr integer
local function keep_lenses(bufnr)
  local group = vim.api.nvim_create_augroup('astral_lsp.lenses.' .. bufnr, {})
  vim.api.nvim_create_autocmd({ 'BufEnter', 'InsertLeave', 'TextChanged' }, {
    group = group,
    buffer = bufnr,
    callback = function()
      M.refresh_lenses(bufnr)
    end,
  })
  vim.api.nvim_create_autocmd('LspDetach', {
    group = group,
    buffer = bufnr,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client == nil or client.name == require('astral_lsp.client').NAME then
        vim.api.nvim_clear_autocmds({ group = group })
      end
    end,
  })
  M.refresh_lenses(bufnr)
end

---@param bufnr integer
local function map_keys(bufnr)
  local actions = require('astral_lsp').actions
  for action, keys in pairs(config.keymaps()) do
    local entry = actions[action]
    if entry == nil then
      require('astral_lsp.client').say(('there is no action %q to map'):format(action), vim.log.levels.WARN)
    else
      vim.keymap.set('n', keys, entry.run, { buffer = bufnr, desc = 'Astral: ' .. entry.summary })
    end
  end
end

---@param client vim.lsp.Client
---@param bufnr integer
function M.on_attach(client, bufnr)
  require('astral_lsp.verdicts').define_highlights()
  map_keys(bufnr)
  if config.options.inlay_hints and client:supports_method('textDocument/inlayHint') then
    vim.lsp.inlay_hint.enable(true, { bufnr = bufnr })
  end
  if config.options.code_lens and client:supports_method('textDocument/codeLens') then
    keep_lenses(bufnr)
  end
  if config.options.rest then
    require('astral_lsp.rest').watch(client, bufnr)
  end
end

return M
