-- Runs one spec file in a real Neovim: nvim --clean --headless -l harness.lua SPEC REPOSITORY OUTPUT
-- A spec calls test(name, function) ...; the outcome of each is one JSON line of OUTPUT.

local spec, repository, output = _G.arg[1], _G.arg[2], _G.arg[3]
local plugin = repository .. '/editors/neovim'

vim.opt.runtimepath:prepend(plugin)
vim.opt.swapfile = false
vim.cmd('filetype plugin on')
vim.cmd.runtime('plugin/astral_lsp.lua')

local T = { repository = repository, plugin = plugin, said = {} }

---What the person was told, in order.
vim.notify = function(text, level)
  T.said[#T.said + 1] = { text = text, level = level }
end

---@param condition fun(): any
---@param what string
---@param ms integer?
function T.eventually(condition, what, ms)
  local value
  local ok = vim.wait(ms or 15000, function()
    value = condition()
    return value and true or false
  end, ms and ms > 60000 and 200 or 20)
  if not ok then
    local said = vim
      .iter(T.said)
      :map(function(entry)
        return entry.text
      end)
      :join('\n  ')
    error(('never: %s\n  said: %s\n  messages: %s'):format(what, said, vim.fn.execute('messages')), 2)
  end
  return value
end

function T.eq(expected, actual, what)
  if not vim.deep_equal(expected, actual) then
    error(('%s: expected %s, got %s'):format(what or 'value', vim.inspect(expected), vim.inspect(actual)), 2)
  end
end

function T.has(text, pattern, what)
  if not (type(text) == 'string' and text:find(pattern, 1, true)) then
    error(('%s: %q is not in %s'):format(what or 'text', pattern, vim.inspect(text)), 2)
  end
end

---Waits for a message that contains `pattern` and was said after the `since`th.
function T.told(pattern, since)
  return T.eventually(function()
    for index = (since or 0) + 1, #T.said do
      if T.said[index].text:find(pattern, 1, true) then
        return T.said[index]
      end
    end
  end, 'somebody says ' .. pattern)
end

local count = 0

---Open a file whose text has a `$0` where the cursor goes.
---@return integer bufnr
function T.open(text)
  count = count + 1
  local offset = assert(text:find('$0', 1, true), 'the text has a $0')
  local before = text:sub(1, offset - 1)
  local whole = before .. text:sub(offset + 2)
  local path = ('%s/project/module_%d.py'):format(vim.env.ASTRAL_TEST_HOME, count)
  vim.fn.writefile(vim.split(whole, '\n'), path, 'b')
  vim.cmd.edit(path)
  local row = select(2, before:gsub('\n', ''))
  vim.api.nvim_win_set_cursor(0, { row + 1, #before:match('[^\n]*$') })
  return vim.api.nvim_get_current_buf()
end

---@return vim.lsp.Client
function T.client(bufnr)
  return T.eventually(function()
    local client = vim.lsp.get_clients({ bufnr = bufnr or 0, name = 'astral_lsp' })[1]
    return client and client.initialized and client
  end, 'the server attaches')
end

function T.attached(text)
  local bufnr = T.open(text)
  return bufnr, T.client(bufnr)
end

function T.text(bufnr)
  return table.concat(vim.api.nvim_buf_get_lines(bufnr or 0, 0, -1, false), '\n')
end

---The server with a script for its engine; see tests/server/scripted.py.
function T.script(script)
  script.log = vim.env.ASTRAL_TEST_HOME .. '/engine.log'
  vim.lsp.config('astral_lsp', {
    cmd = { vim.env.ASTRAL_TEST_PYTHON, repository .. '/tests/server/scripted.py' },
    cmd_env = { ASTRAL_TEST_SCRIPT = vim.json.encode(script) },
    init_options = { trusted = true },
  })
  vim.lsp.enable('astral_lsp')
end

---What the scripted engine was asked.
function T.engine_log(event)
  local path = vim.env.ASTRAL_TEST_HOME .. '/engine.log'
  local lines = vim.fn.filereadable(path) == 1 and vim.fn.readfile(path) or {}
  return vim
    .iter(lines)
    :map(vim.json.decode)
    :filter(function(entry)
      return entry.event == event
    end)
    :totable()
end

---Answer every vim.ui.select with `choose(items, opts)`; returns what was asked.
function T.select(choose)
  local asked = {}
  vim.ui.select = function(items, opts, on_choice)
    local formatted = vim.tbl_map(opts.format_item or tostring, items)
    local index = choose(formatted)
    asked[#asked + 1] =
      { items = formatted, prompt = opts.prompt, preview = require('astral_lsp.preview').lines(0) }
    on_choice(index and items[index], index)
  end
  return asked
end

local results = assert(io.open(output, 'w'))
local failed = false

function T.test(name, run)
  vim.cmd('silent! %bwipeout!')
  T.said = {}
  local ok, problem = xpcall(run, debug.traceback)
  failed = failed or not ok
  results:write(
    vim.json.encode({ name = name, ok = ok, problem = not ok and tostring(problem) or nil }) .. '\n'
  )
  results:flush()
end

_G.T, _G.test = T, T.test
vim.fn.mkdir(vim.env.ASTRAL_TEST_HOME .. '/project', 'p')
vim.fn.writefile({ '[project]', 'name = "demo"' }, vim.env.ASTRAL_TEST_HOME .. '/project/pyproject.toml')
local ok, problem = xpcall(dofile, debug.traceback, spec)
if not ok then
  results:write(vim.json.encode({ name = '<file>', ok = false, problem = problem }) .. '\n')
end
results:close()
vim.lsp.enable('astral_lsp', false)
vim.wait(3000, function()
  return #vim.lsp.get_clients({ name = 'astral_lsp' }) == 0
end, 20)
os.exit((ok and not failed) and 0 or 1)
