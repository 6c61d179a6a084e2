-- The client of a buffer, and requests that always come to an end: answered, failed or cancelled.

local M = {}

M.NAME = 'astral_lsp'
M.CANCELLED = -32800
M.CONTENT_MODIFIED = -32801

---@param text string
---@param level integer? one of vim.log.levels
function M.say(text, level)
  vim.notify('astral-lsp: ' .. text, level or vim.log.levels.INFO)
end

---@param bufnr integer? 0 or nil for the current one
---@return vim.lsp.Client?
function M.get(bufnr)
  return vim.lsp.get_clients({ bufnr = bufnr or 0, name = M.NAME })[1]
end

---The client of a buffer; without one, says what to do about it.
---@param bufnr integer
---@return vim.lsp.Client?
function M.need(bufnr)
  local client = M.get(bufnr)
  if client == nil then
    local advice = vim.lsp.is_enabled(M.NAME)
        and ':AstralRestart starts it, :checkhealth astral_lsp says more'
      or "enable it with vim.lsp.enable('astral_lsp')"
    M.say('no server is attached to this buffer; ' .. advice, vim.log.levels.WARN)
  end
  return client
end

-- Requests under way, by client and request id. Neovim drops the answer to a cancelled request, so the end of
-- one is also watched through LspRequest.
---@type table<string, fun()>
local pending = {}

vim.api.nvim_create_autocmd('LspRequest', {
  group = vim.api.nvim_create_augroup('astral_lsp.requests', {}),
  callback = function(event)
    local finish = pending[event.data.client_id .. ':' .. event.data.request_id]
    if finish ~= nil and event.data.request.type == 'complete' then
      -- the answer itself, when there is one, is scheduled too, and before the second of these
      vim.schedule(function()
        vim.schedule(finish)
      end)
    end
  end,
})

---@alias astral_lsp.Callback fun(err: lsp.ResponseError?, result: any)

---Send a request. `callback` is called once, with an error of code `M.CANCELLED` when the person or the server
---cancelled it. Returns a function that cancels.
---@param client vim.lsp.Client
---@param method string
---@param params table
---@param bufnr integer
---@param callback astral_lsp.Callback
---@return fun() cancel
function M.request(client, method, params, bufnr, callback)
  local key ---@type string?
  local done = false
  local function finish(err, result)
    if key ~= nil then
      pending[key] = nil
    end
    if not done then
      done = true
      callback(err, result)
    end
  end
  local function cancelled()
    finish({ code = M.CANCELLED, message = 'cancelled' })
  end
  local ok, id = client:request(method, params, finish, bufnr)
  if not ok or id == nil then
    vim.schedule(function()
      finish({ code = -32001, message = 'the server is not running; :AstralRestart starts it' })
    end)
    return function() end
  end
  key = client.id .. ':' .. id
  pending[key] = cancelled
  return function()
    if not done then
      client:cancel_request(id)
      vim.schedule(cancelled)
    end
  end
end

---Every request under way fails: its server is gone.
---@param client_id integer
function M.abandon(client_id)
  for key, finish in pairs(pending) do
    if vim.startswith(key, client_id .. ':') then
      finish()
    end
  end
end

---Run a command of the server with one object as its argument.
---@param client vim.lsp.Client
---@param name string without the prefix `astral.`
---@param argument table
---@param bufnr integer
---@param callback astral_lsp.Callback
---@return fun() cancel
function M.command(client, name, argument, bufnr, callback)
  local params = { command = 'astral.' .. name, arguments = { argument } }
  return M.request(client, 'workspace/executeCommand', params, bufnr, callback)
end

---Whether this server offers a command.
---@param client vim.lsp.Client
---@param name string without the prefix
function M.offers(client, name)
  local provider = client.server_capabilities.executeCommandProvider
  return provider ~= nil and vim.list_contains(provider.commands or {}, 'astral.' .. name)
end

---The position of a window's cursor as the server counts.
---@param client vim.lsp.Client
---@param window integer?
---@return lsp.Position
function M.cursor(client, window)
  return vim.lsp.util.make_position_params(window or 0, client.offset_encoding).position
end

---A range of the server in bytes.
---@param client vim.lsp.Client
---@param bufnr integer
---@param range lsp.Range
---@return astral_lsp.Place
function M.place(client, bufnr, range)
  local function column(position)
    local line = vim.api.nvim_buf_get_lines(bufnr, position.line, position.line + 1, false)[1] or ''
    return vim.str_byteindex(line, client.offset_encoding, position.character, false)
  end
  return {
    bufnr = bufnr,
    row = range.start.line,
    col = column(range.start),
    end_row = range['end'].line,
    end_col = column(range['end']),
  }
end

return M
