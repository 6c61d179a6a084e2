-- Filling: ask the server for candidates, let the person choose, have the server insert the choice.

local client_of = require('astral_lsp.client')
local inserted = require('astral_lsp.inserted')
local picker = require('astral_lsp.picker')
local verdicts = require('astral_lsp.verdicts')

local M = {}

local anchors = vim.api.nvim_create_namespace('astral_lsp.anchors')

---What runs now, with its way to cancel.
---@type table<integer, { what: string, cancel: fun() }>
local running = {}
local next_id = 0

---@param what string
---@param start fun(done: fun()): fun()
local function track(what, start)
  next_id = next_id + 1
  local id = next_id
  local over = false
  local cancel = start(function()
    over = true
    running[id] = nil
  end)
  if not over then
    running[id] = { what = what, cancel = cancel }
  end
end

---How many requests for fills are under way.
---@return integer
function M.running()
  return vim.tbl_count(running)
end

---Cancel every fill that was asked for here, and those that the server runs for its code actions.
function M.cancel()
  local count = M.running()
  for _, entry in pairs(running) do
    entry.cancel()
  end
  local client = client_of.get(0)
  if client ~= nil and count == 0 then
    client_of.command(client, 'cancel', vim.empty_dict(), vim.api.nvim_get_current_buf(), function(_, answer)
      local stopped = type(answer) == 'table' and answer.stopped or 0
      client_of.say(stopped > 0 and 'cancelled' or 'nothing is running')
    end)
  end
end

---@param err lsp.ResponseError
local function report(err)
  if err.code == client_of.CANCELLED then
    client_of.say('cancelled; candidates found so far are in the list of code actions')
  else
    client_of.say(err.message, vim.log.levels.WARN)
  end
end

-- where the hole is --------------------------------------------------------------------------------------------

---What a request was about: the buffer's version then, and an extmark where the cursor was.
---@class astral_lsp.Asked
---@field version integer
---@field anchor integer

---Where the hole of `answer` is in the buffer as it is now; nil when it was edited meanwhile. The answer's own
---range holds only if nothing was typed since the request.
---@param client vim.lsp.Client
---@param bufnr integer
---@param answer table
---@param asked astral_lsp.Asked
---@param on_place fun(place: astral_lsp.Place?)
local function locate(client, bufnr, answer, asked, on_place)
  if asked.version == vim.lsp.util.buf_versions[bufnr] then
    on_place(client_of.place(client, bufnr, answer.range))
    return
  end
  local row = vim.api.nvim_buf_get_extmark_by_id(bufnr, anchors, asked.anchor, {})[1] or 0
  client_of.command(client, 'listHoles', { uri = vim.uri_from_bufnr(bufnr) }, bufnr, function(err, holes)
    local nearest ---@type table?
    for _, hole in ipairs(err == nil and holes or {}) do
      local distance = math.abs(hole.range.start.line - row)
      local closer = nearest == nil or distance < math.abs(nearest.range.start.line - row)
      if hole.text == answer.hole.text and closer then
        nearest = hole
      end
    end
    on_place(nearest and client_of.place(client, bufnr, nearest.range))
  end)
end

-- inserting ----------------------------------------------------------------------------------------------------

---A cursor that was on the hole goes to the end of what is there now.
---@param client vim.lsp.Client
---@param bufnr integer
---@param range lsp.Range?
local function put_cursor_behind(client, bufnr, range)
  if range == nil or vim.api.nvim_win_get_buf(0) ~= bufnr then
    return
  end
  local place = client_of.place(client, bufnr, range)
  local cursor = vim.api.nvim_win_get_cursor(0)
  local row, col = cursor[1] - 1, cursor[2]
  local before = row < place.row or (row == place.row and col < place.col)
  local behind = row > place.end_row or (row == place.end_row and col > place.end_col)
  if not before and not behind then
    local on_last = vim.fn.mode():match('^i') and 0 or 1
    vim.api.nvim_win_set_cursor(0, { place.end_row + 1, math.max(0, place.end_col - on_last) })
  end
end

local RETRIES = 2

---Have the server insert `fill`. It finds the hole again when the buffer moved under it, and refuses when the
---hole itself was edited; an edit that was overtaken on its way is asked for once more.
---@param client vim.lsp.Client
---@param bufnr integer
---@param fill astral_lsp.Fill
---@param on_done fun(applied: boolean)
---@param tries integer?
local function insert(client, bufnr, fill, on_done, tries)
  local asked = vim.lsp.util.buf_versions[bufnr]
  client_of.command(client, 'applyFill', fill.argument, bufnr, function(err, answer)
    if err == nil then
      put_cursor_behind(client, bufnr, answer and answer.range)
      inserted.show(bufnr, verdicts.chunks(fill))
      on_done(true)
    elseif vim.lsp.util.buf_versions[bufnr] ~= asked and (tries or 0) < RETRIES then
      insert(client, bufnr, fill, on_done, (tries or 0) + 1)
    else
      on_done(false) -- the server has said why
    end
  end)
end

-- one hole -----------------------------------------------------------------------------------------------------

---@class astral_lsp.FillRequest
---@field bufnr integer?
---@field argument table? what an action carried; else the hole at the cursor
---@field best boolean? insert the best fill without asking
---@field again boolean? ask for candidates not seen yet
---@field on_done fun(outcome: 'inserted'|'left'|'failed')?

---A run of `astral.fillHole`, and the list that grows with it.
---@class astral_lsp.Drawing
---@field over boolean nothing more will come
---@field left boolean nobody waits for it any more
---@field latest table? what there is so far
---@field opened boolean the list has been asked for
---@field early boolean? it opens before all is there
---@field cancel fun()
---@field update astral_lsp.Update?
---@field on_news fun(answer: table)

---@type table<string, astral_lsp.Drawing>
local drawings = {}
local lists = 0

---The notification `astral/fills`: what a run has found so far.
---@param params table
function M.news(params)
  local drawing = drawings[params.partial]
  if drawing ~= nil and not drawing.over then
    drawing.latest = params
    drawing.on_news(params)
  end
end

---Nobody needs the rest of a run.
---@param drawing astral_lsp.Drawing
local function leave(drawing)
  drawing.left = true
  if not drawing.over then
    drawing.cancel()
  end
end

local open

---@param request astral_lsp.FillRequest
---@param client vim.lsp.Client
---@param drawing astral_lsp.Drawing
---@param place astral_lsp.Place
---@param asked astral_lsp.Asked
local function choose(request, client, drawing, place, asked)
  local answer = assert(drawing.latest)
  local bufnr = place.bufnr
  local done = request.on_done or function() end
  local expected = type(answer.expectedType) == 'string' and ' of ' .. answer.expectedType or ''
  local stale = asked.version ~= vim.lsp.util.buf_versions[bufnr] and ' (checked before your last edits)'
    or ''
  local title = ('Fill the hole%s%s'):format(expected, stale)
  local question = { place = place, title = title, fills = answer.fills, more = not drawing.over }
  drawing.update = picker.ask(question, function(choice)
    if choice ~= nil and choice.kind == 'wait' then
      drawing.opened = false
      if drawing.over then
        open(request, client, bufnr, drawing, asked)
      end
      return
    end
    leave(drawing)
    if choice == nil then
      done('left')
    elseif choice.kind == 'accept' then
      insert(client, bufnr, choice.fill, function(applied)
        done(applied and 'inserted' or 'failed')
      end)
    elseif choice.kind == 'again' then
      M.fill(vim.tbl_extend('force', request, { argument = answer.fills[1].argument, again = true }))
    else
      require('astral_lsp.explain').open({ bufnr = bufnr, argument = answer.fills[1].argument })
      done('left')
    end
  end)
end

---@param request astral_lsp.FillRequest
---@param client vim.lsp.Client
---@param bufnr integer
---@param drawing astral_lsp.Drawing
---@param asked astral_lsp.Asked
function open(request, client, bufnr, drawing, asked)
  drawing.opened = true
  drawing.update = nil
  locate(client, bufnr, drawing.latest, asked, function(place)
    if place == nil then
      leave(drawing)
      client_of.say('the hole was edited while it was being filled; nothing was changed', vim.log.levels.WARN)
      if request.on_done then
        request.on_done('failed')
      end
    else
      choose(request, client, drawing, place, asked)
    end
  end)
end

---@param request astral_lsp.FillRequest
---@param client vim.lsp.Client
---@param bufnr integer
---@param drawing astral_lsp.Drawing
---@param asked astral_lsp.Asked
local function on_end(request, client, bufnr, drawing, asked)
  local answer = assert(drawing.latest)
  if drawing.opened then
    if drawing.update ~= nil then
      drawing.update(answer.fills, false)
    end
    return
  end
  local done = request.on_done or function() end
  local best = answer.fills[1]
  if best == nil then
    client_of.say(answer.message ~= '' and answer.message or 'no candidate was found', vim.log.levels.WARN)
    done('failed')
    return
  end
  if request.best then
    if verdicts.refused(best) then
      local text = 'no candidate passed, so nothing was inserted (%s); :AstralFill shows them'
      client_of.say(text:format(verdicts.reasons(best)), vim.log.levels.WARN)
      done('failed')
      return
    end
    insert(client, bufnr, best, function(applied)
      done(applied and 'inserted' or 'failed')
    end)
    return
  end
  open(request, client, bufnr, drawing, asked)
end

---@param client vim.lsp.Client
---@param bufnr integer
---@param request astral_lsp.FillRequest
local function argument_of(client, bufnr, request)
  local argument = request.argument
    or { uri = vim.uri_from_bufnr(bufnr), position = client_of.cursor(client) }
  argument = vim.tbl_extend('force', argument, { apply = false, patient = true, again = request.again or false })
  if argument.deed == 'candidate' then
    argument.deed, argument.fill = 'best', nil
  end
  return argument
end

---Fill the hole at the cursor.
---@param request astral_lsp.FillRequest?
function M.fill(request)
  request = request or {}
  local bufnr = request.bufnr or vim.api.nvim_get_current_buf()
  local client = client_of.need(bufnr)
  if client == nil then
    return
  end
  local row = math.min(vim.api.nvim_win_get_cursor(0)[1], vim.api.nvim_buf_line_count(bufnr)) - 1
  local asked = {
    version = vim.lsp.util.buf_versions[bufnr],
    anchor = vim.api.nvim_buf_set_extmark(bufnr, anchors, row, 0, {}),
  }
  local drawing = { over = false, left = false, opened = false } ---@type astral_lsp.Drawing
  lists = lists + 1
  local name = ('list %d'):format(lists)
  local argument = argument_of(client, bufnr, request)
  if not request.best then
    argument.partial = name
    drawings[name] = drawing
  end
  drawing.on_news = function(answer)
    if drawing.update ~= nil then
      drawing.update(answer.fills, true)
    elseif not drawing.early and not vim.iter(answer.fills):all(verdicts.refused) then
      drawing.early = true
      vim.defer_fn(function()
        if not (drawing.opened or drawing.over or drawing.left) then
          open(request, client, bufnr, drawing, asked)
        end
      end, picker.grows() and 0 or picker.PATIENCE_MS)
    end
  end
  local function on_answer(err, answer)
    drawing.over, drawings[name] = true, nil
    if drawing.left or not vim.api.nvim_buf_is_loaded(bufnr) then
      return
    end
    if err == nil then
      drawing.latest = answer
      on_end(request, client, bufnr, drawing, asked)
      return
    end
    report(err)
    if drawing.update ~= nil then
      drawing.update(drawing.latest.fills, false)
    elseif not drawing.opened and request.on_done then
      request.on_done('failed')
    end
  end
  track('fill', function(over)
    drawing.cancel = client_of.command(client, 'fillHole', argument, bufnr, function(err, answer)
      over()
      on_answer(err, answer)
      if vim.api.nvim_buf_is_loaded(bufnr) then
        vim.api.nvim_buf_del_extmark(bufnr, anchors, asked.anchor)
      end
    end)
    return drawing.cancel
  end)
end

-- many holes ---------------------------------------------------------------------------------------------------

-- Commands whose failures the server tells the person itself.
local SAYS_WHY = { refineHole = true }

---Run a command about a place whose success the server tells the person itself.
---@param name string
---@param argument table?
---@param on_done fun(answer: table?)?
local function run(name, argument, on_done)
  local bufnr = vim.api.nvim_get_current_buf()
  local client = client_of.need(bufnr)
  if client == nil then
    return
  end
  if not client_of.offers(client, name) then
    client_of.say(('this server has no command %q'):format(name), vim.log.levels.WARN)
    return
  end
  argument = vim.tbl_extend('force', { uri = vim.uri_from_bufnr(bufnr) }, argument or {})
  track(name, function(over)
    return client_of.command(client, name, argument, bufnr, function(err, answer)
      over()
      if err ~= nil and not (SAYS_WHY[name] and err.code ~= client_of.CANCELLED) then
        report(err)
      end
      if on_done then
        on_done(err == nil and answer or nil)
      end
    end)
  end)
end

---@return { position: lsp.Position }
local function here()
  local client = client_of.get(0)
  return client and { position = client_of.cursor(client) } or {}
end

---Fill every hole of the function around the cursor's hole.
function M.fill_function()
  run('fillFunction', here())
end

---Fill every hole of the buffer.
function M.fill_file()
  run('fillFile')
end

---Fill one level and leave holes inside, where the server can.
function M.refine()
  run('refineHole', here())
end

---@param line1 integer
---@param line2 integer
---@param client vim.lsp.Client
---@param bufnr integer
---@return lsp.Range
local function selected(line1, line2, client, bufnr)
  local from, to = vim.api.nvim_buf_get_mark(bufnr, '<'), vim.api.nvim_buf_get_mark(bufnr, '>')
  if from[1] ~= line1 or to[1] ~= line2 or vim.fn.visualmode() == 'V' then
    local first = vim.api.nvim_buf_get_lines(bufnr, line1 - 1, line1, true)[1]
    local last = vim.api.nvim_buf_get_lines(bufnr, line2 - 1, line2, true)[1]
    from, to = { line1, #first:match('^%s*') }, { line2, math.max(0, #last - 1) }
  end
  -- (1,0)-indexed marks, end inclusive, as make_given_range_params takes them
  return vim.lsp.util.make_given_range_params(from, to, bufnr, client.offset_encoding).range
end

---Make a hole of the selection, or of whole lines.
---@param line1 integer
---@param line2 integer
function M.make_hole(line1, line2)
  local bufnr = vim.api.nvim_get_current_buf()
  local client = client_of.need(bufnr)
  if client ~= nil then
    run('makeHole', { range = selected(line1, line2, client, bufnr) })
  end
end

---Draw fills for the selection, or for whole lines, and choose one in its place.
---@param line1 integer
---@param line2 integer
function M.refill(line1, line2)
  local bufnr = vim.api.nvim_get_current_buf()
  local client = client_of.need(bufnr)
  if client ~= nil then
    local argument = { uri = vim.uri_from_bufnr(bufnr), range = selected(line1, line2, client, bufnr) }
    M.fill({ bufnr = bufnr, argument = argument })
  end
end

return M
