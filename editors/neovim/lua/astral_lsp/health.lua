-- :checkhealth astral_lsp

local client_of = require('astral_lsp.client')

local M = {}
local health = vim.health

local function check_neovim()
  health.start('astral_lsp: Neovim')
  local version = tostring(vim.version())
  if vim.fn.has('nvim-0.11') == 1 then
    health.ok('Neovim ' .. version)
  else
    health.error('Neovim ' .. version .. ' is too old', 'Use Neovim 0.11 or later')
  end
end

---@param cmd string[]
---@return string? version
local function version_of(cmd)
  local ok, result = pcall(function()
    return vim.system({ cmd[1], '--version' }, { text = true, timeout = 20000 }):wait()
  end)
  if ok and result.code == 0 then
    return vim.trim(result.stdout)
  end
end

local function check_program()
  health.start('astral_lsp: the server program')
  local cmd = vim.lsp.config[client_of.NAME].cmd
  if type(cmd) ~= 'table' then
    health.info('the server is started by a function in your configuration')
    return
  end
  local path = vim.fn.exepath(cmd[1])
  if path == '' then
    health.error(('%q is not on PATH'):format(cmd[1]), {
      'Install it: pipx install astral-lsp',
      "or name it: vim.lsp.config('astral_lsp', { cmd = { '/path/to/astral-lsp', '--stdio' } })",
    })
    return
  end
  local version = version_of(cmd)
  if version ~= nil then
    health.ok(('%s (%s)'):format(version, path))
  else
    health.error(path .. ' does not start', 'Run it with --version in a terminal to see why')
  end
end

local function check_clients()
  health.start('astral_lsp: servers')
  if vim.lsp.is_enabled(client_of.NAME) then
    health.ok('enabled')
  else
    health.warn('not enabled', "Add vim.lsp.enable('astral_lsp') to your configuration")
  end
  local clients = vim.lsp.get_clients({ name = client_of.NAME })
  if #clients == 0 then
    health.info('no server is running: it starts with the first Python buffer')
  end
  for _, client in ipairs(clients) do
    local buffers = vim.tbl_count(client.attached_buffers)
    health.ok(
      ('client %d: root %s, %d buffer(s), positions in %s'):format(
        client.id,
        client.root_dir or 'none',
        buffers,
        client.offset_encoding
      )
    )
    local bufnr = next(client.attached_buffers)
    local status = bufnr and require('astral_lsp.status').get(bufnr)
    if status ~= nil then
      health.info(
        ('server %s: %s%s'):format(
          status.version,
          status.state,
          status.message ~= '' and ', ' .. status.message or ''
        )
      )
      if not status.trusted then
        health.warn('the workspace is not trusted: tests do not run', ':AstralTrust lets them')
      end
    end
  end
end

local function check_doctor()
  health.start('astral_lsp: doctor')
  local program = require('astral_lsp.doctor').program()
  if program == nil or vim.fn.executable(program[1]) == 0 then
    health.info('skipped: the server program was not found')
    return
  end
  local ok, result = pcall(function()
    return vim.system({ program[1], 'doctor' }, { text = true, timeout = 60000 }):wait()
  end)
  if not ok then
    health.error('doctor cannot be run: ' .. tostring(result))
    return
  end
  local report = vim.trim(result.stdout .. (result.stderr or ''))
  local say = result.code == 0 and health.ok or health.warn
  say(('astral-lsp doctor ended with code %d'):format(result.code))
  for _, line in ipairs(vim.split(report, '\n')) do
    if vim.trim(line) ~= '' then
      health.info(line)
    end
  end
end

function M.check()
  check_neovim()
  check_program()
  check_clients()
  check_doctor()
end

return M
