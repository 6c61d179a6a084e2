"""The command line, one command a file. `astral_lsp.cli` parses nothing but the command's name."""
