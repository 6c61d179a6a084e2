-- Candidates shown in place: virtual lines under the hole. The buffer's text is never touched.

local verdicts = require('astral_lsp.verdicts')

local M = {}
local namespace = vim.api.nvim_create_namespace('astral_lsp.preview')

---@class astral_lsp.Place a hole in bytes, 0-based, end exclusive
---@field bufnr integer
---@field row integer
---@field col integer
---@field end_row integer
---@field end_col integer

---@param bufnr integer
---@param text string
local function expand_tabs(bufnr, text)
  return (text:gsub('\t', (' '):rep(vim.bo[bufnr].tabstop)))
end

---The lines that `fill` would make of the hole's lines, as chunks; the verdicts stand behind the last one.
---@param place astral_lsp.Place
---@param fill astral_lsp.Fill
---@param label string
---@return [string, string][][]
local function filled_lines(place, fill, label)
  local function line_at(row)
    return vim.api.nvim_buf_get_lines(place.bufnr, row, row + 1, false)[1] or ''
  end
  local before = line_at(place.row):sub(1, place.col)
  local after = line_at(place.end_row):sub(place.end_col + 1)
  local pieces = vim.split(fill.text, '\r?\n')
  local margin = (' '):rep(vim.fn.strdisplaywidth(label))
  local lines = {}
  for index, piece in ipairs(pieces) do
    local chunks = { { index == 1 and label or margin, verdicts.sign_group(fill) } }
    if index == 1 and before ~= '' then
      chunks[#chunks + 1] = { expand_tabs(place.bufnr, before), 'AstralContext' }
    end
    chunks[#chunks + 1] = { expand_tabs(place.bufnr, piece), 'AstralFill' }
    if index == #pieces then
      if after ~= '' then
        chunks[#chunks + 1] = { expand_tabs(place.bufnr, after), 'AstralContext' }
      end
      chunks[#chunks + 1] = { '   ', 'AstralContext' }
      vim.list_extend(chunks, verdicts.chunks(fill))
    end
    lines[#lines + 1] = chunks
  end
  return lines
end

local REASONS = 3

---Why a fill is not verified, as the server words it.
---@param fill astral_lsp.Fill
---@return [string, string][][]
local function reason_lines(fill)
  local lines = {}
  for index, reason in ipairs(fill.reasons or {}) do
    if index <= REASONS then
      lines[index] = {
        { '│ ' .. reason:match('[^\r\n]*'), verdicts.refused(fill) and 'AstralFailed' or 'AstralNotRun' },
      }
    end
  end
  return lines
end

---Show `fills` under the hole, numbered when there are several; one alone has its reasons below it. Replaces
---what was shown.
---@param place astral_lsp.Place
---@param fills astral_lsp.Fill[]
function M.show(place, fills)
  M.clear(place.bufnr)
  local virtual = {}
  for index, fill in ipairs(fills) do
    local label = #fills > 1 and ('%d  '):format(index) or '│ '
    vim.list_extend(virtual, filled_lines(place, fill, label))
  end
  if #fills == 1 then
    vim.list_extend(virtual, reason_lines(fills[1]))
  end
  vim.api.nvim_buf_set_extmark(place.bufnr, namespace, place.end_row, 0, {
    virt_lines = virtual,
    virt_lines_leftcol = #fills > 1,
  })
  vim.api.nvim_buf_set_extmark(place.bufnr, namespace, place.row, place.col, {
    end_row = place.end_row,
    end_col = place.end_col,
    hl_group = 'AstralHole',
  })
end

---@param bufnr integer
function M.clear(bufnr)
  if vim.api.nvim_buf_is_valid(bufnr) then
    vim.api.nvim_buf_clear_namespace(bufnr, namespace, 0, -1)
  end
end

---The virtual lines on show as plain text, for tests and screen readers.
---@param bufnr integer
---@return string[]
function M.lines(bufnr)
  local lines = {}
  local marks = vim.api.nvim_buf_get_extmarks(bufnr, namespace, 0, -1, { details = true })
  for _, mark in ipairs(marks) do
    for _, chunks in ipairs(mark[4].virt_lines or {}) do
      lines[#lines + 1] = table.concat(vim.tbl_map(function(chunk)
        return chunk[1]
      end, chunks))
    end
  end
  return lines
end

return M
