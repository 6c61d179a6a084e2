-- A server that dies is started again a few times; then the person decides.

local client_of = require('astral_lsp.client')
local config = require('astral_lsp.config')

local M = {}

local WINDOW_MS = 3 * 60 * 1000
---@type integer[] times of death, in milliseconds
local deaths = {}
---@type table<integer, true> clients that were asked to stop
local asked = {}

vim.api.nvim_create_autocmd('VimLeavePre', {
  group = vim.api.nvim_create_augroup('astral_lsp.life', {}),
  callback = function()
    M.leaving = true
  end,
})

local function start()
  vim.lsp.enable(client_of.NAME)
end

---@param code integer
---@param signal integer
---@param client_id integer
function M.on_exit(code, signal, client_id)
  client_of.abandon(client_id)
  require('astral_lsp.status').forget(client_id)
  local expected = M.leaving or asked[client_id] or (code == 0 and signal == 0) or signal == 15
  asked[client_id] = nil
  if not expected then
    M.died(code, signal)
  end
end

---@param code integer
---@param signal integer
function M.died(code, signal)
  local now = vim.uv.now()
  deaths[#deaths + 1] = now
  local recent = #vim.tbl_filter(function(when)
    return now - when < WINDOW_MS
  end, deaths)
  local how = signal ~= 0 and ('signal %d'):format(signal) or ('exit code %d'):format(code)
  if recent <= config.options.restarts then
    client_of.say(('the server stopped (%s) and is started again'):format(how), vim.log.levels.WARN)
    vim.defer_fn(start, 200)
    return
  end
  local text =
    'the server stopped (%s), %d times in three minutes; it stays off until :AstralRestart. %s says why'
  client_of.say(text:format(how, recent, vim.lsp.log.get_filename()), vim.log.levels.ERROR)
end

---Stop the servers and start them afresh, in the buffers that had them and in others that want them.
function M.restart()
  deaths = {}
  local clients = vim.lsp.get_clients({ name = client_of.NAME, _uninitialized = true })
  for _, client in ipairs(clients) do
    asked[client.id] = true
    client:stop()
  end
  local function stopped()
    return vim.iter(clients):all(function(client)
      return client:is_stopped() and vim.lsp.get_client_by_id(client.id) == nil
    end)
  end
  local began = vim.uv.now()
  local function wait()
    if stopped() then
      start()
    elseif vim.uv.now() - began > 5000 then
      for _, client in ipairs(clients) do
        client:stop(true)
      end
      vim.defer_fn(start, 300)
    else
      vim.defer_fn(wait, 50)
    end
  end
  wait()
end

return M
