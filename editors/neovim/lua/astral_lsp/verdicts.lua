-- Verdicts in few words, as text and as highlighted chunks.

local M = {}

---@class astral_lsp.Verdict
---@field status 'passed'|'failed'|'not_run'|'unavailable'
---@field detail? string
---@field count? integer

---@class astral_lsp.Fill
---@field text string exactly what would be inserted
---@field verified boolean every required oracle passed it
---@field verdicts table<'syntax'|'types'|'tests', astral_lsp.Verdict>
---@field reasons? string[] why it is not verified, as the server words it
---@field argument? table what `astral.applyFill` takes

local MARKS = { passed = '✓', failed = '✗', not_run = '–', unavailable = '?' }
local WORDS = { passed = 'passed', failed = 'failed', not_run = 'not run', unavailable = 'unavailable' }
local GROUPS = {
  passed = 'AstralPassed',
  failed = 'AstralFailed',
  not_run = 'AstralNotRun',
  unavailable = 'AstralUnavailable',
}
local DOMAINS = { 'syntax', 'types', 'tests' }

---Highlight groups, each a link that a colour scheme or a person may override.
function M.define_highlights()
  local links = {
    AstralPassed = 'DiagnosticOk',
    AstralFailed = 'DiagnosticError',
    AstralNotRun = 'Comment',
    AstralUnavailable = 'DiagnosticWarn',
    AstralFill = 'DiffAdd',
    AstralContext = 'Comment',
    AstralHole = 'DiffDelete',
  }
  for group, target in pairs(links) do
    vim.api.nvim_set_hl(0, group, { link = target, default = true })
  end
end

---Domains that tell fills apart: syntax only when it did not pass.
---@param fill astral_lsp.Fill
local function shown(fill)
  return vim.tbl_filter(function(domain)
    return fill.verdicts[domain] ~= nil and (domain ~= 'syntax' or fill.verdicts.syntax.status ~= 'passed')
  end, DOMAINS)
end

---@param fill astral_lsp.Fill
---@return [string, string][] chunks of virtual text
function M.chunks(fill)
  local chunks = {}
  for _, domain in ipairs(shown(fill)) do
    local verdict = fill.verdicts[domain]
    local count = verdict.status == 'passed' and (verdict.count or 0) > 0 and ' ' .. verdict.count or ''
    if #chunks > 0 then
      chunks[#chunks + 1] = { ' · ', 'AstralNotRun' }
    end
    chunks[#chunks + 1] = { domain .. ' ' .. (MARKS[verdict.status] or '?') .. count, GROUPS[verdict.status] }
  end
  return chunks
end

---`types ✓ · tests ✓ 3`
---@param fill astral_lsp.Fill
---@return string
function M.marks(fill)
  return table.concat(vim.tbl_map(function(chunk)
    return chunk[1]
  end, M.chunks(fill)))
end

---Whether an oracle said no.
---@param fill astral_lsp.Fill
function M.refused(fill)
  return vim.iter(DOMAINS):any(function(domain)
    return fill.verdicts[domain] ~= nil and fill.verdicts[domain].status == 'failed'
  end)
end

---Why a fill is not verified, in words; '' when there is nothing to add.
---@param fill astral_lsp.Fill
---@return string
function M.reasons(fill)
  local parts = {}
  for _, domain in ipairs(DOMAINS) do
    local verdict = fill.verdicts[domain]
    if verdict ~= nil and verdict.status ~= 'passed' then
      local detail = verdict.detail and verdict.detail ~= '' and ': ' .. verdict.detail or ''
      parts[#parts + 1] = domain .. ' ' .. (WORDS[verdict.status] or verdict.status) .. detail
    end
  end
  return table.concat(parts, '; ')
end

---The first line of a fill cut to `width` cells, and how many lines follow it.
---@param text string
---@param width integer
---@return string
function M.one_line(text, width)
  local lines = vim.split(vim.trim(text), '\r?\n')
  local rest = #lines > 1 and (' … +%d line%s'):format(#lines - 1, #lines > 2 and 's' or '') or ''
  local head = vim.trim(lines[1]):gsub('%s+', ' ')
  local room = math.max(1, width - vim.fn.strdisplaywidth(rest))
  if vim.fn.strdisplaywidth(head) > room then
    while vim.fn.strdisplaywidth(head) > room - 1 do
      head = vim.fn.strcharpart(head, 0, vim.fn.strchars(head) - 1)
    end
    head = head .. '…'
  end
  return head .. rest
end

---@param fill astral_lsp.Fill
local function sign(fill)
  return M.refused(fill) and '✗' or fill.verified and '✓' or '?'
end

---One row of a picker: `✓ double(left + right)   types ✓ · tests ✓ 3`.
---@param fill astral_lsp.Fill
---@param width integer? cells for the code
---@return string
function M.row(fill, width)
  return ('%s %s   %s'):format(sign(fill), M.one_line(fill.text, width or 60), M.marks(fill))
end

---Rows with the verdicts in one column.
---@param fills astral_lsp.Fill[]
---@param room integer cells for the code at most
---@return string[]
function M.rows(fills, room)
  local codes = vim.tbl_map(function(fill)
    return M.one_line(fill.text, room)
  end, fills)
  local widest = 0
  for _, code in ipairs(codes) do
    widest = math.max(widest, vim.fn.strdisplaywidth(code))
  end
  local rows = {}
  for index, fill in ipairs(fills) do
    local gap = (' '):rep(widest - vim.fn.strdisplaywidth(codes[index]) + 3)
    rows[index] = sign(fill) .. ' ' .. codes[index] .. gap .. M.marks(fill)
  end
  return rows
end

---@param fill astral_lsp.Fill
---@return string group
function M.sign_group(fill)
  return M.refused(fill) and GROUPS.failed or fill.verified and GROUPS.passed or GROUPS.unavailable
end

return M
