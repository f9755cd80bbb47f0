#!/bin/sh
# The report and the review page are tested in real browsers: in Chromium, and with the argument
# "firefox" in Firefox. One that is here is used, else one is installed.
set -eu
browser=${1:-chromium}
case $browser in
    chromium)
        commands="chromium chromium-browser google-chrome google-chrome-stable"
        package=chromium
        ;;
    firefox)
        commands="firefox-esr firefox"
        package=firefox-esr
        ;;
    *)
        echo "There are no tests for the browser $browser: give chromium or firefox." >&2
        exit 2
        ;;
esac
for name in $commands; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null; then
    exit 0
fi
if [ -x .venv/bin/playwright ] && .venv/bin/playwright install "$browser"; then
    exit 0
fi
echo "The browser tests need $browser: install it and run make again." >&2
exit 1
