-- Choosing among candidates, with a preview in place. The buffer is not touched before a choice.

local config = require('astral_lsp.config')
local preview = require('astral_lsp.preview')
local verdicts = require('astral_lsp.verdicts')

local M = {}

---@class astral_lsp.Question
---@field place astral_lsp.Place
---@field title string
---@field fills astral_lsp.Fill[]
---@field more boolean? others are still being drawn and checked

---@alias astral_lsp.Answer
---| { kind: 'accept', fill: astral_lsp.Fill }
---| { kind: 'again' }
---| { kind: 'wait' } show the list once more when the others are there
---| { kind: 'explain' }

local namespace = vim.api.nvim_create_namespace('astral_lsp.picker')

---Whether a plugin has put its own vim.ui.select in place of Neovim's.
local function select_is_replaced()
  local source = debug.getinfo(vim.ui.select, 'S').source
  return not vim.endswith(source, 'vim/ui.lua')
end

---Whether the list is our own, which can grow while it is open.
---@return boolean
function M.grows()
  local kind = config.options.picker
  return kind ~= 'select' and not (kind == 'auto' and select_is_replaced())
end

---@param place astral_lsp.Place
---@param fills astral_lsp.Fill[]
local function show_preview(place, fills)
  if config.options.preview and vim.api.nvim_buf_is_valid(place.bufnr) then
    preview.show(place, fills)
    vim.cmd.redraw()
  end
end

-- vim.ui.select ------------------------------------------------------------------------------------------------

local LABELS = {
  again = '… draw other candidates',
  wait = '… wait for the others, which are being drawn',
  explain = '… explain the verdicts',
}

---How long the first candidate waits for others, where the list cannot grow.
M.PATIENCE_MS = 1000

---Ask through |vim.ui.select()|: every candidate stands numbered under the hole meanwhile.
---@param question astral_lsp.Question
---@param on_answer fun(answer: astral_lsp.Answer?)
local function ask_select(question, on_answer)
  local answered = false
  local function answer(value)
    if not answered then
      answered = true
      preview.clear(question.place.bufnr)
      on_answer(value)
    end
  end
  local items = vim.tbl_map(function(fill)
    return { kind = 'accept', fill = fill }
  end, question.fills)
  items[#items + 1] = { kind = question.more and 'wait' or 'again' }
  items[#items + 1] = { kind = 'explain' }
  show_preview(question.place, question.fills)
  vim.ui.select(items, {
    prompt = question.title .. ':',
    kind = 'astral_lsp.fill',
    format_item = function(item)
      if item.kind == 'accept' then
        return verdicts.row(item.fill)
      end
      return LABELS[item.kind]
    end,
  }, answer)
end

-- the list of our own ------------------------------------------------------------------------------------------

local HELP = ' <CR> insert · r others · e explain · q leave '
local HELP_MORE = ' <CR> insert · e explain · q leave · more are being drawn … '

---@param bufnr integer
---@param question astral_lsp.Question
local function write_rows(bufnr, question)
  local room = math.max(20, vim.o.columns - 40)
  local lines = {}
  for index, row in ipairs(verdicts.rows(question.fills, room)) do
    lines[index] = ('%2s '):format(index <= 9 and index or '') .. row
  end
  vim.bo[bufnr].modifiable = true
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, lines)
  vim.bo[bufnr].modifiable = false
  for index, fill in ipairs(question.fills) do
    local mark = { end_col = 3 + #'✓', hl_group = verdicts.sign_group(fill) }
    vim.api.nvim_buf_set_extmark(bufnr, namespace, index - 1, 3, mark)
  end
end

---@param question astral_lsp.Question
---@return integer bufnr
local function list_buffer(question)
  local bufnr = vim.api.nvim_create_buf(false, true)
  vim.bo[bufnr].bufhidden = 'wipe'
  write_rows(bufnr, question)
  vim.bo[bufnr].filetype = 'astral_lsp_picker'
  return bufnr
end

---@param question astral_lsp.Question
local function height_of(question)
  return math.min(#question.fills, math.max(1, math.floor(vim.o.lines / 3)))
end

---@param bufnr integer
---@param question astral_lsp.Question
---@return integer window
local function list_window(bufnr, question)
  local window = vim.api.nvim_open_win(bufnr, true, {
    relative = 'editor',
    anchor = 'SW',
    row = vim.o.lines - vim.o.cmdheight - 1,
    col = 0,
    width = math.max(30, vim.o.columns - 2),
    height = height_of(question),
    style = 'minimal',
    border = 'rounded',
    title = ' ' .. question.title .. ' ',
    footer = question.more and HELP_MORE or HELP,
  })
  vim.wo[window].cursorline = true
  vim.wo[window].wrap = false
  return window
end

---Bring the hole into the upper part of its window, clear of the list.
---@param window integer
---@param place astral_lsp.Place
local function make_room(window, place)
  vim.api.nvim_win_call(window, function()
    if vim.api.nvim_win_get_buf(window) == place.bufnr and vim.fn.winline() > vim.o.lines / 3 then
      vim.fn.winrestview({ topline = math.max(1, place.row - 2) })
    end
  end)
end

---@alias astral_lsp.Update fun(fills: astral_lsp.Fill[], more: boolean) puts another list in place of the first

---@param question astral_lsp.Question
---@param on_answer fun(answer: astral_lsp.Answer?)
---@return astral_lsp.Update
local function ask_live(question, on_answer)
  local source = vim.api.nvim_get_current_win()
  local bufnr = list_buffer(question)
  local window = list_window(bufnr, question)
  local group = vim.api.nvim_create_augroup('astral_lsp.picker', {})
  local answered = false

  local function answer(value)
    if answered then
      return
    end
    answered = true
    vim.api.nvim_del_augroup_by_id(group)
    preview.clear(question.place.bufnr)
    if vim.api.nvim_win_is_valid(window) then
      vim.api.nvim_win_close(window, true)
    end
    if vim.api.nvim_win_is_valid(source) then
      vim.api.nvim_set_current_win(source)
    end
    on_answer(value)
  end

  local function active()
    return question.fills[vim.api.nvim_win_get_cursor(window)[1]]
  end

  local function follow()
    show_preview(question.place, { active() })
  end

  local function on_key(keys, value)
    vim.keymap.set('n', keys, function()
      answer(type(value) == 'function' and value() or value)
    end, { buffer = bufnr, nowait = true })
  end
  on_key('<CR>', function()
    return { kind = 'accept', fill = active() }
  end)
  vim.keymap.set('n', 'r', function()
    if not question.more then
      answer({ kind = 'again' })
    end
  end, { buffer = bufnr, nowait = true })
  on_key('e', { kind = 'explain' })
  on_key('q', nil)
  on_key('<Esc>', nil)
  for index = 1, 9 do
    vim.keymap.set('n', tostring(index), function()
      if question.fills[index] ~= nil then
        answer({ kind = 'accept', fill = question.fills[index] })
      end
    end, { buffer = bufnr, nowait = true })
  end

  local function watch(events, buffer, callback)
    vim.api.nvim_create_autocmd(events, { group = group, buffer = buffer, callback = callback })
  end
  watch('CursorMoved', bufnr, follow)
  watch({ 'BufLeave', 'WinClosed' }, bufnr, function()
    vim.schedule(answer)
  end)
  watch({ 'TextChanged', 'BufUnload' }, question.place.bufnr, function()
    vim.schedule(answer)
  end)
  make_room(source, question.place)
  follow()

  return function(fills, more)
    if answered or #fills == 0 then
      return
    end
    local text = active().text -- what a person looks at stays under their <CR>, whatever comes in above it
    question.fills, question.more = fills, more
    write_rows(bufnr, question)
    vim.api.nvim_win_set_config(window, { height = height_of(question), footer = more and HELP_MORE or HELP })
    for index, fill in ipairs(fills) do
      if fill.text == text then
        vim.api.nvim_win_set_cursor(window, { index, 0 })
      end
    end
    follow()
  end
end

---Ask which fill to insert; `on_answer` is called once, with nil when the person leaves.
---@param question astral_lsp.Question
---@param on_answer fun(answer: astral_lsp.Answer?)
---@return astral_lsp.Update? update of a list that can grow
function M.ask(question, on_answer)
  if M.grows() then
    return ask_live(question, on_answer)
  end
  ask_select(question, on_answer)
end

return M
