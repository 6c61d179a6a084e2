-- Verdicts behind a fill that was inserted: virtual text that goes as soon as its lines change.

local M = {}
local namespace = vim.api.nvim_create_namespace('astral_lsp.inserted')

---Rows that the last edit of each buffer produced, 0-based, end inclusive.
---@type table<integer, { row: integer, end_row: integer }[]>
local last = {}
local watched = {} ---@type table<integer, true>

---@param edit lsp.WorkspaceEdit
---@return table<integer, lsp.TextEdit[]> by buffer
local function edits_of(edit)
  local found = {}
  for uri, edits in pairs(edit.changes or {}) do
    found[vim.uri_to_bufnr(uri)] = edits
  end
  for _, change in ipairs(edit.documentChanges or {}) do
    if change.edits ~= nil then
      found[vim.uri_to_bufnr(change.textDocument.uri)] = change.edits
    end
  end
  return found
end

---Remember where the text of `edit`, which was just applied, is now. Its ranges are of the text before; edits
---of one document never overlap (LSP 3.17, TextEdit[]), so earlier ones only move later ones.
---@param edit lsp.WorkspaceEdit
function M.applied(edit)
  for bufnr, edits in pairs(edits_of(edit)) do
    local sorted = vim.deepcopy(edits)
    table.sort(sorted, function(a, b)
      local x, y = a.range.start, b.range.start
      return x.line < y.line or (x.line == y.line and x.character < y.character)
    end)
    local places, moved = {}, 0
    for _, one in ipairs(sorted) do
      local lines = vim.split(one.newText, '\r?\n')
      local row = one.range.start.line + moved
      places[#places + 1] = { row = row, end_row = row + #lines - 1 }
      moved = moved + #lines - 1 - (one.range['end'].line - one.range.start.line)
    end
    last[bufnr] = places
  end
end

---@param bufnr integer
local function watch(bufnr)
  if watched[bufnr] then
    return
  end
  watched[bufnr] = vim.api.nvim_buf_attach(bufnr, false, {
    on_lines = function(_, _, _, first, _, last_new)
      local to = math.max(first, last_new - 1)
      local marks = vim.api.nvim_buf_get_extmarks(
        bufnr,
        namespace,
        { first, 0 },
        { to, -1 },
        { overlap = true }
      )
      for _, mark in ipairs(marks) do
        vim.api.nvim_buf_del_extmark(bufnr, namespace, mark[1])
      end
    end,
    on_detach = function()
      watched[bufnr] = nil
      last[bufnr] = nil
    end,
  })
end

---Show `chunks` behind the last edit of a buffer.
---@param bufnr integer
---@param chunks [string, string][]
function M.show(bufnr, chunks)
  if not require('astral_lsp.config').options.virtual_text or not vim.api.nvim_buf_is_loaded(bufnr) then
    return
  end
  watch(bufnr)
  for _, place in ipairs(last[bufnr] or {}) do
    if place.end_row < vim.api.nvim_buf_line_count(bufnr) then
      vim.api.nvim_buf_set_extmark(bufnr, namespace, place.row, 0, {
        end_row = place.end_row,
        invalidate = true,
      })
      vim.api.nvim_buf_set_extmark(bufnr, namespace, place.end_row, 0, {
        virt_text = vim.list_extend({ { '  ', 'AstralContext' } }, chunks),
        virt_text_pos = 'eol',
        invalidate = true,
      })
    end
  end
end

---The virtual text on show, for tests: row to text.
---@param bufnr integer
---@return table<integer, string>
function M.texts(bufnr)
  local texts = {}
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(bufnr, namespace, 0, -1, { details = true })) do
    local chunks = mark[4].virt_text
    if chunks ~= nil then
      local text = table.concat(vim.tbl_map(function(chunk)
        return chunk[1]
      end, chunks))
      texts[mark[2]] = vim.trim(text)
    end
  end
  return texts
end

return M
