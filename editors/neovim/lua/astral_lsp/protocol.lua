-- What this client tells the server of itself, and how it answers the server's own requests.

local M = {}

---Neovim's capabilities and what this plugin adds to them.
---@return lsp.ClientCapabilities
function M.capabilities()
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  return vim.tbl_deep_extend('force', capabilities, {
    workspace = {
      -- edits that name the version they were made for, so that a stale one can be refused
      workspaceEdit = { documentChanges = true },
      -- Neovim 0.11 pulls diagnostics but does not refresh them; `refresh_diagnostics` does
      diagnostics = { refreshSupport = true },
      codeLens = { refreshSupport = true },
    },
  })
end

---Why an edit must not be applied; nil when it may be.
---@param edit lsp.WorkspaceEdit
---@return string?
local function objection(edit)
  for _, change in ipairs(edit.documentChanges or {}) do
    local document = change.textDocument
    if document ~= nil and type(document.version) == 'number' then
      local bufnr = vim.uri_to_bufnr(document.uri)
      local now = vim.lsp.util.buf_versions[bufnr]
      if not vim.api.nvim_buf_is_loaded(bufnr) then
        return 'the buffer is no longer open'
      elseif not vim.bo[bufnr].modifiable then
        return 'the buffer is not modifiable'
      elseif now ~= document.version then
        return ('the edit is for version %d of the buffer, which is at %d'):format(document.version, now)
      end
    end
  end
end

---workspace/applyEdit, refusing what is stale: Neovim's own handler says "applied" even then.
local function apply_edit(_, params, ctx)
  local client = assert(vim.lsp.get_client_by_id(ctx.client_id))
  local why = objection(params.edit)
  if why ~= nil then
    return { applied = false, failureReason = why }
  end
  local ok, problem = pcall(vim.lsp.util.apply_workspace_edit, params.edit, client.offset_encoding)
  if ok then
    require('astral_lsp.inserted').applied(params.edit)
  end
  return { applied = ok, failureReason = not ok and tostring(problem) or nil }
end

---@param client_id integer
---@param visit fun(bufnr: integer, client: vim.lsp.Client)
local function each_buffer(client_id, visit)
  local client = vim.lsp.get_client_by_id(client_id)
  for bufnr in pairs(client and client.attached_buffers or {}) do
    if vim.api.nvim_buf_is_loaded(bufnr) then
      visit(bufnr, client --[[@as vim.lsp.Client]])
    end
  end
end

local function refresh_diagnostics(_, _, ctx)
  each_buffer(ctx.client_id, function(bufnr, client)
    local params = { textDocument = vim.lsp.util.make_text_document_params(bufnr) }
    client:request('textDocument/diagnostic', params, nil, bufnr)
  end)
  return vim.NIL
end

local function refresh_lenses(_, _, ctx)
  each_buffer(ctx.client_id, function(bufnr)
    require('astral_lsp.attach').refresh_lenses(bufnr)
  end)
  return vim.NIL
end

local function on_status(_, params, ctx)
  require('astral_lsp.status').update(ctx.client_id, params)
end

local function on_fills(_, params)
  require('astral_lsp.fill').news(params)
end

---@return table<string, lsp.Handler>
function M.handlers()
  return {
    ['astral/status'] = on_status,
    ['astral/fills'] = on_fills,
    ['workspace/applyEdit'] = apply_edit,
    ['workspace/diagnostic/refresh'] = refresh_diagnostics,
    ['workspace/codeLens/refresh'] = refresh_lenses,
  }
end

---Commands of lenses and code actions that this plugin does better than by asking the server to.
---@return table<string, fun(command: lsp.Command, ctx: table)>
function M.commands()
  return {
    ['astral.fillHole'] = function(command, ctx)
      require('astral_lsp.fill').fill({ bufnr = ctx.bufnr, argument = command.arguments[1] })
    end,
    ['astral.explainRejected'] = function(command, ctx)
      require('astral_lsp.explain').open({ bufnr = ctx.bufnr, argument = command.arguments[1] })
    end,
  }
end

return M
