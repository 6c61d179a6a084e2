-- `astral-lsp doctor` in a scratch buffer, whether a server is running or not.

local client_of = require('astral_lsp.client')

local M = {}

---The server's program; nil when the configuration starts it by a function.
---@return string[]?
function M.program()
  local cmd = vim.lsp.config[client_of.NAME].cmd
  return type(cmd) == 'table' and vim.list_slice(cmd, 1, 1) or nil
end

---@param text string
local function show(text)
  local explain = require('astral_lsp.explain')
  explain.show(explain.scratch('astral-doctor:/report', vim.trim(text), 'text'))
end

---@param cwd string?
local function run_program(cwd)
  local program = M.program()
  if program == nil or vim.fn.executable(program[1]) == 0 then
    client_of.say(
      ('%s is not executable'):format(program and program[1] or 'the server'),
      vim.log.levels.ERROR
    )
    return
  end
  vim.system({ program[1], 'doctor' }, { text = true, cwd = cwd, timeout = 60000 }, function(result)
    vim.schedule(function()
      show(result.stdout .. (result.stderr or ''))
    end)
  end)
end

function M.open()
  local bufnr = vim.api.nvim_get_current_buf()
  local client = client_of.get(bufnr)
  if client == nil or not client_of.offers(client, 'doctor') then
    run_program(vim.fs.root(bufnr, { 'pyproject.toml', '.git' }))
    return
  end
  client_of.say('asking the doctor …')
  client_of.command(client, 'doctor', vim.empty_dict(), bufnr, function(err, answer)
    if err ~= nil then
      client_of.say(err.message, vim.log.levels.WARN)
    else
      show(answer.text)
    end
  end)
end

return M
