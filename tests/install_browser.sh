#!/bin/sh
# The report is tested in a real browser. Use one that is here, else install one.
set -eu
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
elif [ -x .venv/bin/playwright ]; then
    .venv/bin/playwright install chromium
else
    echo "The browser tests need Chromium: install it and run make test again." >&2
    exit 1
fi
