-- A second Neovim with a real main loop, driven by keys as a person types them.

local T, test = T, T.test

local AREA =
  'def area(width: int, height: int) -> int:\n    return ...  # fill: width * height\n\nx: int = ...\n'

local Child = {}
Child.__index = Child

function Child.start()
  local channel = vim.fn.jobstart({ vim.v.progpath, '--clean', '--headless', '--embed' }, { rpc = true })
  local child = setmetatable({ channel = channel, files = 0 }, Child)
  child:lua(([[
    vim.o.swapfile = false
    vim.o.lines, vim.o.columns = 30, 100
    vim.opt.runtimepath:prepend(%q)
    vim.cmd.runtime('plugin/astral_lsp.lua')
    vim.lsp.config('astral_lsp', {
      cmd = { %q, %q },
      cmd_env = { ASTRAL_TEST_SCRIPT = '{}' },
      init_options = { trusted = true },
    })
    vim.lsp.enable('astral_lsp')
  ]]):format(T.plugin, vim.env.ASTRAL_TEST_PYTHON, T.repository .. '/tests/server/scripted.py'))
  return child
end

---A new file with the cursor on its first hole.
---@param options string Lua source of the plugin's options
function Child:open(options)
  self:lua(('require("astral_lsp").setup(%s)'):format(options))
  self.files = self.files + 1
  self.name = ('typed_%d.py'):format(self.files)
  local path = ('%s/project/%s'):format(vim.env.ASTRAL_TEST_HOME, self.name)
  vim.fn.writefile(vim.split(AREA, '\n'), path, 'b')
  self:keys((':edit %s<CR>2G2w'):format(path))
  self:eventually('#vim.lsp.get_clients({ bufnr = 0, name = "astral_lsp" }) == 1', 'attached')
  self:eventually('#vim.diagnostic.get(0) == 2', 'both holes are marked')
end

---@return string[]
function Child:preview()
  return self:lua(('return require("astral_lsp.preview").lines(vim.fn.bufnr(%q))'):format(self.name))
end

---@param text string
function Child:previews(text)
  T.eventually(function()
    return (self:preview()[1] or ''):find(text, 1, true)
  end, 'a preview of ' .. text)
end

function Child:lua(source)
  return vim.rpcrequest(self.channel, 'nvim_exec_lua', source, {})
end

function Child:keys(keys)
  vim.rpcrequest(self.channel, 'nvim_input', keys)
end

function Child:eventually(expression, what)
  return T.eventually(function()
    local value = self:lua('return ' .. expression)
    return value ~= vim.NIL and value
  end, what)
end

function Child:line(number)
  return self:lua(('return vim.fn.getbufline(vim.fn.bufnr(%q), %d)[1]'):format(self.name, number))
end

local shared

---@param options string
---@param run fun(child: table)
local function with(options, run)
  shared = shared or Child.start()
  shared:open(options)
  run(shared)
end

test('the live picker follows j and k, and a number inserts', function()
  with('{ picker = "live" }', function(child)
    child:keys(':AstralFill<CR>')
    child:eventually('vim.bo.filetype == "astral_lsp_picker"', 'the picker opens')
    child:previews('return width * height')
    child:keys('j')
    child:previews('return second_1')
    child:keys('k')
    child:previews('return width * height')
    T.eq('    return ...  # fill: width * height', child:line(2), 'nothing is inserted yet')
    child:keys('2')
    T.eventually(function()
      return child:line(2) == '    return second_1  # fill: width * height'
    end, 'the second candidate is inserted')
    T.eq({}, child:preview())
    child:keys('u')
    T.eventually(function()
      return child:line(2) == '    return ...  # fill: width * height'
    end, 'one undo takes it back')
  end)
end)

test('the picker closes by itself when it is left', function()
  with('{ picker = "live" }', function(child)
    child:keys(':AstralFill<CR>')
    child:eventually('vim.bo.filetype == "astral_lsp_picker"', 'the picker opens')
    child:keys('<C-w>p')
    child:eventually('vim.bo.filetype == "python" and #vim.api.nvim_list_wins() == 1', 'it is gone')
    T.eq({}, child:preview())
  end)
end)

test('the stock vim.ui.select prompt works too', function()
  with('{ picker = "select" }', function(child)
    child:keys(':AstralFill<CR>')
    T.eventually(function()
      return vim.rpcrequest(child.channel, 'nvim_get_mode').mode ~= 'n'
    end, 'the prompt asks')
    child:keys('1<CR>')
    T.eventually(function()
      return child:line(2) == '    return width * height  # fill: width * height'
    end, 'the first candidate is inserted')
  end)
end)

test('default keys on request: next, previous, fill', function()
  with('{ keymaps = true, picker = "live" }', function(child)
    child:keys(']h')
    child:eventually('vim.api.nvim_win_get_cursor(0)[1] == 4', 'the next hole')
    child:keys('[h')
    child:eventually('vim.api.nvim_win_get_cursor(0)[1] == 2', 'the previous hole')
    child:keys('\\f')
    child:eventually('vim.bo.filetype == "astral_lsp_picker"', 'the picker opens')
    child:keys('<Esc>')
    child:eventually('vim.bo.filetype == "python"', 'the picker closes')
  end)
end)

test("Neovim's gra lists the fill and inserts it", function()
  with('{}', function(child)
    child:keys('gra')
    T.eventually(function()
      return vim.rpcrequest(child.channel, 'nvim_get_mode').mode ~= 'n'
    end, 'the list asks')
    child:keys('1<CR>')
    T.eventually(function()
      return child:line(2) == '    return width * height  # fill: width * height'
    end, 'the fill is inserted')
  end)
end)

vim.rpcnotify(shared.channel, 'nvim_command', 'qall!')
vim.fn.jobwait({ shared.channel }, 5000)
