-- The README's example with the real server and the real weights.

local T, test = T, T.test

local project = vim.env.ASTRAL_TEST_HOME .. '/orders'
vim.fn.system({ 'cp', '-r', T.repository .. '/examples/orders', project })

vim.lsp.config('astral_lsp', {
  cmd = { vim.env.ASTRAL_TEST_PYTHON, '-m', 'astral_lsp.cli', '--stdio' },
  init_options = { trusted = true },
  settings = { ['astral-lsp'] = { fill = { budgetS = 60 } } },
})
vim.lsp.enable('astral_lsp')

local MINUTES = 5 * 60 * 1000

test('a hole of the example is typed by mypy, filled by the model, judged and inserted', function()
  vim.cmd.edit(project .. '/orders.py')
  local bufnr = vim.api.nvim_get_current_buf()
  local client = T.client(bufnr)
  local typed = T.eventually(function()
    return vim.iter(vim.diagnostic.get(bufnr)):find(function(diagnostic)
      return diagnostic.message:find('expected', 1, true)
    end)
  end, 'mypy says what a hole must be', MINUTES)
  local loaded
  require('astral_lsp.client').command(
    client,
    'loadModel',
    { uri = vim.uri_from_bufnr(bufnr) },
    bufnr,
    function(err)
      loaded = err == nil or err.message
    end
  )
  T.eq(
    true,
    T.eventually(function()
      return loaded
    end, 'the model is loaded', MINUTES)
  )

  local before = T.text(bufnr)
  vim.api.nvim_win_set_cursor(0, { typed.lnum + 1, typed.col })
  local outcome
  local asked = T.select(function()
    return 1
  end)
  require('astral_lsp').fill({
    on_done = function(value)
      outcome = value
    end,
  })
  T.eventually(function()
    return outcome
  end, 'the fill ends', MINUTES)
  T.eq('inserted', outcome, vim.inspect(T.said) .. vim.fn.execute('messages'))
  local judged = asked[1].items[1]:find('types ✓', 1, true) or asked[1].items[1]:find('types ✗', 1, true)
  assert(judged, 'mypy judged it: ' .. asked[1].items[1])
  assert(T.text(bufnr) ~= before, 'the buffer has the fill')
  T.eq(before, table.concat(vim.fn.readfile(project .. '/orders.py'), '\n'), 'the file on disk')
  T.eventually(function()
    return require('astral_lsp.inserted').texts(bufnr)[typed.lnum]
  end, 'the verdicts stand behind the fill')
  io.stderr:write(('real fill: %s\n'):format(asked[1].items[1]))
end)
