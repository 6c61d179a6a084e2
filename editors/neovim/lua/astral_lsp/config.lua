-- What a person may choose: `require('astral_lsp').setup({ ... })`.

local M = {}

---@class astral_lsp.Options
local defaults = {
  ---Buffer-local key maps for Python buffers the server is attached to: true for the default ones, or a
  ---table from action to keys (see `default_keymaps`). Nothing is mapped unless you ask.
  keymaps = false, ---@type boolean|table<string, string|false>
  ---'live': a list whose cursor moves the preview. 'select': |vim.ui.select()|. 'auto': 'select' when a
  ---plugin has replaced vim.ui.select, else 'live'.
  picker = 'auto', ---@type 'auto'|'live'|'select'
  ---Show candidates as virtual lines under the hole while you choose.
  preview = true,
  ---Show the verdicts behind a fill that was inserted, until its line changes.
  virtual_text = true,
  ---Switch inlay hints on in attached buffers (those of other servers too: Neovim has one switch per buffer).
  inlay_hints = false,
  ---Keep the "Fill" lenses above functions up to date.
  code_lens = true,
  ---After how many milliseconds on a hole the server is told that the cursor rests there: it reads the hole's
  ---context ahead (`fill.readAhead`), or fills it in mode 'onHole'. false: never.
  rest = 300, ---@type integer|false
  ---How often a server that died is started again within three minutes.
  restarts = 3,
}

M.default_keymaps = {
  fill = '<localleader>f',
  fill_function = '<localleader>a',
  refine = '<localleader>r',
  explain = '<localleader>e',
  holes = '<localleader>l',
  next = ']h',
  prev = '[h',
}

---@type astral_lsp.Options
M.options = vim.deepcopy(defaults)

local CHECKS = {
  keymaps = { 'boolean', 'table' },
  picker = function(value)
    return vim.tbl_contains({ 'auto', 'live', 'select' }, value), "one of 'auto', 'live', 'select'"
  end,
  preview = 'boolean',
  virtual_text = 'boolean',
  inlay_hints = 'boolean',
  code_lens = 'boolean',
  rest = function(value)
    return value == false or type(value) == 'number', 'milliseconds, or false'
  end,
  restarts = 'number',
}

---Lay `options` over the defaults; raises an error that names a wrong option.
---@param options table?
function M.set(options)
  vim.validate('options', options, 'table', true)
  for name, value in pairs(options or {}) do
    if CHECKS[name] == nil then
      error(('astral_lsp: there is no option %q'):format(name), 0)
    end
    vim.validate('astral_lsp option ' .. name, value, CHECKS[name])
  end
  M.options = vim.tbl_extend('force', vim.deepcopy(defaults), options or {})
end

---The key maps in force, action to keys; {} for none.
---@return table<string, string>
function M.keymaps()
  local chosen = M.options.keymaps
  if chosen == false then
    return {}
  end
  local maps = chosen == true and M.default_keymaps or chosen --[[@as table<string, string|false>]]
  local kept = {}
  for action, keys in pairs(maps) do
    if keys then
      kept[action] = keys
    end
  end
  return kept
end

return M
