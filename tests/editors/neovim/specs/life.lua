-- Starting, dying, restarting, trust, doctor, health.

local T, test = T, T.test
T.script({})

local HOLE = 'x: int = .$0..  # fill: 1\n'

local function kill(client)
  -- the process itself, as a crash would
  local children = vim.api.nvim_get_proc_children(vim.fn.getpid())
  local servers = vim.tbl_filter(function(pid)
    local process = vim.api.nvim_get_proc(pid)
    return process ~= nil and process.name:find('python', 1, true) ~= nil
  end, children)
  assert(#servers > 0, 'no server process of client ' .. client.id)
  for _, pid in ipairs(servers) do
    vim.uv.kill(pid, 'sigkill')
  end
end

local function gone(client)
  T.eventually(function()
    return vim.lsp.get_client_by_id(client.id) == nil
  end, 'the old client goes')
end

test('a server that dies is named, started again and works', function()
  local bufnr, client = T.attached(HOLE)
  kill(client)
  T.told('the server stopped (signal 9) and is started again')
  gone(client)
  local fresh = T.client(bufnr)
  assert(fresh.id ~= client.id)
  vim.cmd('AstralFill!')
  T.eventually(function()
    return T.text(bufnr):find('x: int = 1', 1, true)
  end, 'the new server fills')
end)

test('after too many deaths it stays off and says how to start it', function()
  require('astral_lsp').setup({ restarts = 1 })
  local bufnr, client = T.attached(HOLE)
  kill(client)
  T.told('it stays off until :AstralRestart')
  gone(client)
  vim.wait(600)
  T.eq({}, vim.lsp.get_clients({ bufnr = bufnr, name = 'astral_lsp' }))
  vim.cmd.AstralFill()
  T.told(':AstralRestart starts it')
  vim.cmd.AstralRestart()
  T.client(bufnr)
  require('astral_lsp').setup()
end)

test(':AstralRestart stops the old server without complaint and starts a new one', function()
  local bufnr, client = T.attached(HOLE)
  vim.cmd.AstralRestart()
  gone(client)
  local fresh = T.client(bufnr)
  assert(fresh.id ~= client.id)
  T.eq(
    {},
    vim.tbl_filter(function(entry)
      return entry.text:find('stopped', 1, true) ~= nil
    end, T.said)
  )
end)

test('a request that the server dies under fails instead of hanging', function()
  T.script({ delay = 20.0 })
  vim.cmd.AstralRestart()
  vim.wait(300)
  local _, client = T.attached(HOLE)
  local outcome
  require('astral_lsp').fill({
    on_done = function(value)
      outcome = value
    end,
  })
  T.eventually(function()
    return #T.engine_log('fill') > 1
  end, 'the engine draws')
  kill(client)
  T.eventually(function()
    return outcome == 'failed'
  end, 'the request fails')
  T.eq(0, require('astral_lsp.fill').running())
  T.script({})
  vim.cmd.AstralRestart()
end)

test(':AstralTrust asks first, tells the server, and ! takes it back', function()
  vim.lsp.config('astral_lsp', { init_options = { trusted = vim.NIL } })
  vim.cmd.AstralRestart()
  vim.wait(300)
  local bufnr = T.attached(HOLE)
  T.eventually(function()
    return require('astral_lsp').status(bufnr):find('untrusted', 1, true)
  end, 'the status says untrusted')
  local asked = T.select(function(items)
    return vim.fn.index(items, 'Trust') + 1
  end)
  vim.cmd.AstralTrust()
  T.told('trusted: tests and mypy plugins of this workspace may run')
  T.has(asked[1].prompt, 'project')
  T.eventually(function()
    return not require('astral_lsp').status(bufnr):find('untrusted', 1, true)
  end, 'the status follows')
  vim.cmd('AstralTrust!')
  T.told('not trusted')
end)

test('settings reach the server and changes do so without a restart', function()
  local bufnr, client = T.attached(HOLE)
  T.eventually(function()
    return #vim.diagnostic.get(bufnr) == 1
  end, 'the diagnostic')
  client.settings = { ['astral-lsp'] = { diagnostics = false } }
  client:notify('workspace/didChangeConfiguration', { settings = client.settings })
  T.eventually(function()
    return #vim.diagnostic.get(bufnr) == 0
  end, 'the diagnostics go')
end)

test(':checkhealth astral_lsp reports on Neovim, the program, the servers and the doctor', function()
  T.attached(HOLE)
  vim.cmd('silent checkhealth astral_lsp')
  local report = T.text()
  T.has(report, 'OK Neovim 0.')
  T.has(report, 'astral_lsp: the server program')
  T.has(report, 'OK client')
  T.has(report, 'positions in utf-')
  T.has(report, 'astral_lsp: doctor')
  assert(not report:find('Failed to run healthcheck', 1, true), report)
end)

test(':checkhealth says what to do when the program is missing', function()
  local cmd = vim.lsp.config.astral_lsp.cmd
  vim.lsp.config('astral_lsp', { cmd = { 'astral-lsp-that-is-not-there', '--stdio' } })
  vim.cmd('silent checkhealth astral_lsp')
  vim.lsp.config('astral_lsp', { cmd = cmd })
  T.has(T.text(), '"astral-lsp-that-is-not-there" is not on PATH')
  T.has(T.text(), 'pipx install astral-lsp')
end)

test('wrong options are named', function()
  local ok, problem = pcall(require('astral_lsp').setup, { piker = 'live' })
  T.eq(false, ok)
  T.has(problem, 'there is no option "piker"')
  ok, problem = pcall(require('astral_lsp').setup, { picker = 'telescope' })
  T.eq(false, ok)
  T.has(problem, "one of 'auto', 'live', 'select'")
end)

test('keys are mapped only on request, and only in buffers with a server', function()
  local bufnr = T.attached(HOLE)
  T.eq('', vim.fn.maparg(']h', 'n'))
  require('astral_lsp').setup({ keymaps = { next = ']x', fill = '<F5>' } })
  local other = T.attached(HOLE)
  T.eq('Astral: go to the next hole', vim.fn.maparg(']x', 'n', false, true).desc)
  T.eq('', vim.fn.maparg(']h', 'n'))
  vim.cmd.enew()
  T.eq('', vim.fn.maparg(']x', 'n'))
  assert(bufnr ~= other)
  require('astral_lsp').setup()
end)

test('help tags are complete', function()
  vim.cmd.helptags(T.plugin .. '/doc')
  for _, tag in ipairs({
    'astral_lsp',
    ':AstralFill',
    ':AstralTrust',
    'astral_lsp-options',
    'astral_lsp.status()',
  }) do
    vim.cmd.help(tag)
    T.eq('help', vim.bo.buftype, tag)
    vim.cmd.helpclose()
  end
  vim.fn.delete(T.plugin .. '/doc/tags')
end)
