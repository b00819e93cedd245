"""The command line: parse, dispatch, show; no logic lives here."""
