-- What the server is doing, for status lines and :checkhealth.

local client_of = require('astral_lsp.client')

local M = {}

---@class astral_lsp.ServerStatus parameters of the notification `astral/status`
---@field state string
---@field message string
---@field trusted boolean
---@field roots string[]
---@field running integer
---@field judged integer candidates of running fills
---@field verified integer those of them that passed
---@field version string

---@type table<integer, astral_lsp.ServerStatus>
local known = {}

local WORDS = {
  starting = 'starting',
  loading = 'loading the model',
  warming = 'warming up',
  downloading = 'downloading the model',
  pulling = 'downloading the model',
  filling = 'filling',
  error = 'error',
  unavailable = 'no model',
}

---@param client_id integer
---@param params astral_lsp.ServerStatus
function M.update(client_id, params)
  known[client_id] = params
  vim.api.nvim_exec_autocmds('User', { pattern = 'AstralStatus', modeline = false, data = params })
  vim.cmd.redrawstatus({ bang = true })
end

---@param client_id integer
function M.forget(client_id)
  known[client_id] = nil
end

---The last word of the server of a buffer.
---@param bufnr integer? 0 or nil for the current one
---@return astral_lsp.ServerStatus?
function M.get(bufnr)
  local client = client_of.get(bufnr)
  return client and known[client.id]
end

---How many holes the server sees in a buffer.
---@param bufnr integer? 0 or nil for the current one
---@return integer
function M.holes(bufnr)
  local count = 0
  for _, diagnostic in ipairs(vim.diagnostic.get(bufnr or 0)) do
    if diagnostic.source == 'astral-lsp' and diagnostic.code == 'hole' then
      count = count + 1
    end
  end
  return count
end

---One short text for a status line: '' without a server, else `astral`, what it is doing, and the holes.
---@param bufnr integer? 0 or nil for the current one
---@return string
function M.text(bufnr)
  local client = client_of.get(bufnr)
  if client == nil then
    return ''
  end
  local status = known[client.id]
  local holes = M.holes(bufnr)
  local parts = { 'astral' }
  local state = status and status.state or 'idle'
  if state ~= 'idle' then
    local passed = state == 'filling' and status.verified or 0
    parts[#parts + 1] = (WORDS[state] or state) .. (passed > 0 and (' (%d verified)'):format(passed) or '')
  end
  if holes > 0 then
    parts[#parts + 1] = ('%d hole%s'):format(holes, holes == 1 and '' or 's')
  end
  if status ~= nil and not status.trusted then
    parts[#parts + 1] = 'untrusted'
  end
  return parts[1] .. (#parts > 1 and ': ' .. table.concat(parts, ', ', 2) or '')
end

return M
