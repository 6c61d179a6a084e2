-- The public face: `require('astral_lsp')`. See `:help astral_lsp`.

local M = {}

---Choose options; calling it is not needed for anything else.
---@param options table? see `:help astral_lsp-options`
function M.setup(options)
  require('astral_lsp.config').set(options)
end

---Fill the hole at the cursor: `fill({ best = true })` inserts the best fill without asking.
---@param request astral_lsp.FillRequest?
function M.fill(request)
  require('astral_lsp.fill').fill(request)
end

function M.fill_function()
  require('astral_lsp.fill').fill_function()
end

function M.fill_file()
  require('astral_lsp.fill').fill_file()
end

function M.refine()
  require('astral_lsp.fill').refine()
end

function M.cancel()
  require('astral_lsp.fill').cancel()
end

function M.next()
  require('astral_lsp.navigate').step(1)
end

function M.prev()
  require('astral_lsp.navigate').step(-1)
end

---Holes of the buffer in the location list; `holes({ all = true })`: of every open buffer, in the quickfix list.
---@param opts { all: boolean? }?
function M.holes(opts)
  require('astral_lsp.navigate').list(opts)
end

function M.explain()
  require('astral_lsp.explain').open()
end

function M.restart()
  require('astral_lsp.life').restart()
end

---Text for a status line, '' in buffers without a server.
---@param bufnr integer? 0 or nil for the current one
---@return string
function M.status(bufnr)
  return require('astral_lsp.status').text(bufnr)
end

---Let the workspace's own code run (`trusted` true), or no longer: tests, and plugins of mypy.
---@param trusted boolean
function M.trust(trusted)
  require('astral_lsp.trust').set(trusted)
end

function M.doctor()
  require('astral_lsp.doctor').open()
end

---What can be mapped: action to what it does.
---@type table<string, { summary: string, run: fun() }>
M.actions = {
  fill = {
    summary = 'fill the hole at the cursor',
    run = function()
      M.fill()
    end,
  },
  fill_best = {
    summary = 'insert the best fill at the cursor',
    run = function()
      M.fill({ best = true })
    end,
  },
  fill_function = { summary = 'fill all holes of the function', run = M.fill_function },
  fill_file = { summary = 'fill all holes of the file', run = M.fill_file },
  refine = { summary = 'refine the hole by one level', run = M.refine },
  explain = { summary = 'explain the verdicts', run = M.explain },
  holes = {
    summary = 'list the holes',
    run = function()
      M.holes()
    end,
  },
  next = { summary = 'go to the next hole', run = M.next },
  prev = { summary = 'go to the previous hole', run = M.prev },
  cancel = { summary = 'cancel running fills', run = M.cancel },
}

return M
