-- Tells the server on which hole the cursor rests, as editors with a light bulb do: by a request for code actions
-- that nobody made. The server reads the hole's context ahead then, or fills it in mode 'onHole'.

local client_of = require('astral_lsp.client')
local config = require('astral_lsp.config')

local M = {}

local AUTOMATIC = 2 -- LSP: CodeActionTriggerKind

---@param bufnr integer
---@return boolean
local function on_hole(bufnr)
  local cursor = vim.api.nvim_win_get_cursor(0)
  return vim.iter(vim.diagnostic.get(bufnr, { lnum = cursor[1] - 1 })):any(function(diagnostic)
    return diagnostic.source == 'astral-lsp'
      and diagnostic.col <= cursor[2]
      and (diagnostic.end_lnum > diagnostic.lnum or cursor[2] <= diagnostic.end_col)
  end)
end

---@param bufnr integer
local function tell(bufnr)
  local client = vim.api.nvim_get_current_buf() == bufnr and client_of.get(bufnr) or nil
  if client ~= nil and on_hole(bufnr) then
    local place = client_of.cursor(client)
    client:request('textDocument/codeAction', {
      textDocument = vim.lsp.util.make_text_document_params(bufnr),
      range = { start = place, ['end'] = place },
      context = { diagnostics = {}, triggerKind = AUTOMATIC },
    }, function() end, bufnr)
  end
end

---@param client vim.lsp.Client
---@param bufnr integer
function M.watch(client, bufnr)
  local group = vim.api.nvim_create_augroup('astral_lsp.rest.' .. bufnr, {})
  local resting = 0
  vim.api.nvim_create_autocmd({ 'CursorMoved', 'InsertLeave' }, {
    group = group,
    buffer = bufnr,
    callback = function()
      resting = resting + 1
      local mine = resting
      vim.defer_fn(function()
        if mine == resting then
          tell(bufnr)
        end
      end, config.options.rest)
    end,
  })
  vim.api.nvim_create_autocmd('LspDetach', {
    group = group,
    buffer = bufnr,
    callback = function(event)
      if event.data.client_id == client.id then
        vim.api.nvim_clear_autocmds({ group = group })
      end
    end,
  })
end

return M
