-- Why candidates were rejected: the server's explanation in a scratch buffer.

local client_of = require('astral_lsp.client')

local M = {}

---A scratch buffer under `name`, used again when it is there.
---@param name string
---@param text string
---@param filetype string
---@return integer bufnr
function M.scratch(name, text, filetype)
  local bufnr = vim.fn.bufnr('^' .. vim.fn.escape(name, '[]*?\\') .. '$')
  if bufnr < 0 then
    bufnr = vim.api.nvim_create_buf(false, true)
    vim.api.nvim_buf_set_name(bufnr, name)
  end
  vim.bo[bufnr].buftype = 'nofile'
  vim.bo[bufnr].bufhidden = 'wipe'
  vim.bo[bufnr].swapfile = false
  vim.bo[bufnr].modifiable = true
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, vim.split(text, '\r?\n'))
  vim.bo[bufnr].modifiable = false
  vim.bo[bufnr].modified = false
  vim.bo[bufnr].filetype = filetype
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = bufnr, desc = 'Close' })
  return bufnr
end

---Show a scratch buffer in a window of its own, or in the one that shows it already.
---@param bufnr integer
function M.show(bufnr)
  local window = vim.fn.bufwinid(bufnr)
  if window ~= -1 then
    vim.api.nvim_set_current_win(window)
    return
  end
  vim.api.nvim_open_win(bufnr, true, { split = 'below', win = 0 })
  vim.wo[0][0].wrap = true
end

---@param opts { bufnr: integer?, argument: table? }? `argument` as an action carries it; else the cursor's hole
function M.open(opts)
  opts = opts or {}
  local bufnr = opts.bufnr or vim.api.nvim_get_current_buf()
  local client = client_of.need(bufnr)
  if client == nil then
    return
  end
  local argument = vim.tbl_extend('force', opts.argument or {
    uri = vim.uri_from_bufnr(bufnr),
    position = client_of.cursor(client),
  }, { show = false })
  client_of.command(client, 'explainRejected', argument, bufnr, function(err, answer)
    if err ~= nil then
      client_of.say(err.message, vim.log.levels.WARN)
      return
    end
    M.show(M.scratch(answer.uri, answer.text, 'markdown'))
  end)
end

return M
