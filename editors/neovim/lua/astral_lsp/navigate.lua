-- From hole to hole, and all of them as a list.

local client_of = require('astral_lsp.client')

local M = {}

---Go to the next hole (`way` 1) or the previous one (-1), around the end of the buffer.
---@param way 1|-1
function M.step(way)
  local window, bufnr = vim.api.nvim_get_current_win(), vim.api.nvim_get_current_buf()
  local client = client_of.need(bufnr)
  if client == nil then
    return
  end
  local argument = {
    uri = vim.uri_from_bufnr(bufnr),
    position = client_of.cursor(client, window),
    show = false,
  }
  client_of.command(client, way > 0 and 'nextHole' or 'previousHole', argument, bufnr, function(err, hole)
    if err ~= nil then
      client_of.say(err.message, vim.log.levels.WARN)
    elseif hole == nil or hole == vim.NIL then
      client_of.say('there is no hole in this buffer')
    elseif vim.api.nvim_win_is_valid(window) and vim.api.nvim_win_get_buf(window) == bufnr then
      local place = client_of.place(client, bufnr, hole.range)
      vim.api.nvim_win_call(window, function()
        vim.cmd("normal! m'")
        vim.api.nvim_win_set_cursor(window, { place.row + 1, place.col })
        vim.cmd('normal! zv')
      end)
    end
  end)
end

---@param client vim.lsp.Client
---@param hole table as `astral/holes` describes it
local function item(client, hole)
  local bufnr = vim.uri_to_bufnr(hole.uri)
  local place = client_of.place(client, bufnr, hole.range)
  local expected = type(hole.expectedType) == 'string' and 'expected ' .. hole.expectedType or hole.kind
  local scope = hole.scope ~= '' and ' in ' .. hole.scope or ''
  local best = hole.fills[1] and '  ·  ' .. hole.fills[1] or ''
  return {
    bufnr = bufnr,
    lnum = place.row + 1,
    col = place.col + 1,
    end_lnum = place.end_row + 1,
    end_col = place.end_col + 1,
    type = 'H',
    text = ('%s: %s%s%s'):format(vim.split(hole.text, '\n')[1], expected, scope, best),
  }
end

---The holes of this buffer in the location list, or of every open buffer in the quickfix list.
---@param opts { all: boolean? }?
function M.list(opts)
  local all = opts ~= nil and opts.all
  local window, bufnr = vim.api.nvim_get_current_win(), vim.api.nvim_get_current_buf()
  local client = client_of.need(bufnr)
  if client == nil then
    return
  end
  local argument = all and vim.empty_dict() or { uri = vim.uri_from_bufnr(bufnr) }
  client_of.command(client, 'listHoles', argument, bufnr, function(err, holes)
    if err ~= nil then
      client_of.say(err.message, vim.log.levels.WARN)
      return
    end
    local items = vim.tbl_map(function(hole)
      return item(client, hole)
    end, holes or {})
    if #items == 0 then
      client_of.say(all and 'there is no hole in the open buffers' or 'there is no hole in this buffer')
      return
    end
    local what = { title = 'Typed holes', items = items }
    if all then
      vim.fn.setqflist({}, ' ', what)
      vim.cmd('botright copen')
    else
      vim.fn.setloclist(window, {}, ' ', what)
      vim.api.nvim_win_call(window, function()
        vim.cmd('lopen')
      end)
    end
  end)
end

return M
