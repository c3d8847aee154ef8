#!/usr/bin/env bash
# Build the documentation as a site in site/; any broken link is an error. Arguments go to MkDocs:
# `build.sh serve` shows it at http://127.0.0.1:8000 and follows changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
EXTRAS=docs bash tools/setup_env.sh
if [ $# = 0 ]; then set -- build --strict; fi
exec .venv/bin/python -m mkdocs "$@"
