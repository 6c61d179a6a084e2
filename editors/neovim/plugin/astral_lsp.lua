-- User commands. Nothing is loaded before one of them is used or the server attaches.

if vim.g.loaded_astral_lsp then
  return
end
vim.g.loaded_astral_lsp = true

if vim.fn.has('nvim-0.11') == 0 then
  vim.notify('astral-lsp: this plugin needs Neovim 0.11', vim.log.levels.ERROR)
  return
end

---@param name string
---@param summary string
---@param run fun(command: vim.api.keyset.create_user_command.command_args)
---@param options vim.api.keyset.user_command?
local function define(name, summary, run, options)
  local all = vim.tbl_extend('force', { desc = 'Astral: ' .. summary }, options or {})
  vim.api.nvim_create_user_command(name, run, all)
end

define(
  'AstralFill',
  'fill the hole at the cursor; with ! insert the best fill without asking',
  function(command)
    if command.range > 0 then
      require('astral_lsp.fill').refill(command.line1, command.line2)
    else
      require('astral_lsp').fill({ best = command.bang })
    end
  end,
  { bang = true, range = true }
)

define('AstralFillAll', 'fill all holes of the function; with ! of the file', function(command)
  if command.bang then
    require('astral_lsp').fill_file()
  else
    require('astral_lsp').fill_function()
  end
end, { bang = true })

define('AstralRefine', 'fill one level of the hole and leave holes inside', function()
  require('astral_lsp').refine()
end)

define('AstralMakeHole', 'make a hole of the selection', function(command)
  require('astral_lsp.fill').make_hole(command.line1, command.line2)
end, { range = true })

define('AstralNext', 'go to the next hole', function()
  require('astral_lsp').next()
end)

define('AstralPrev', 'go to the previous hole', function()
  require('astral_lsp').prev()
end)

define('AstralHoles', 'list the holes of the buffer; with ! of all open buffers', function(command)
  require('astral_lsp').holes({ all = command.bang })
end, { bang = true })

define('AstralExplain', 'explain the verdicts of the hole at the cursor', function()
  require('astral_lsp').explain()
end)

define('AstralCancel', 'cancel running fills', function()
  require('astral_lsp').cancel()
end)

define('AstralTrust', "let the workspace's code run; with ! no longer", function(command)
  if command.bang then
    require('astral_lsp').trust(false)
  else
    require('astral_lsp.trust').ask()
  end
end, { bang = true })

define('AstralStatus', 'say what the server is doing', function()
  local text = require('astral_lsp').status()
  local status = require('astral_lsp.status').get()
  local message = status and status.message ~= '' and ' (' .. status.message .. ')' or ''
  vim.notify(text == '' and 'astral-lsp: no server is attached to this buffer' or text .. message)
end)

define('AstralDoctor', 'check the environment', function()
  require('astral_lsp').doctor()
end)

define('AstralRestart', 'stop the server and start it again', function()
  require('astral_lsp').restart()
end)

define('AstralLog', "open Neovim's language server log", function()
  vim.cmd.split(vim.fn.fnameescape(vim.lsp.log.get_filename()))
end)
