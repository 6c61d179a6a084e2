-- Trust: whether the workspace's own code may run. The server remembers it per root.

local client_of = require('astral_lsp.client')

local M = {}

---@param trusted boolean
function M.set(trusted)
  local bufnr = vim.api.nvim_get_current_buf()
  local client = client_of.need(bufnr)
  if client == nil then
    return
  end
  local command = trusted and 'trustWorkspace' or 'untrustWorkspace'
  client_of.command(client, command, { uri = vim.uri_from_bufnr(bufnr) }, bufnr, function(err, status)
    if err ~= nil then
      client_of.say(err.message, vim.log.levels.WARN)
    elseif status.trusted then
      client_of.say('trusted: tests and mypy plugins of this workspace may run')
    else
      client_of.say('not trusted: types are checked without plugins, tests are not run')
    end
  end)
end

---Ask before trusting: it lets code run.
function M.ask()
  local client = client_of.need(0)
  if client == nil then
    return
  end
  local root = client.root_dir or vim.uv.cwd()
  local question = ('Let code of %s run (its tests, and plugins of mypy)?'):format(root)
  vim.ui.select({ 'Trust', 'Leave untrusted' }, { prompt = question }, function(choice)
    if choice == 'Trust' then
      M.set(true)
    end
  end)
end

return M
