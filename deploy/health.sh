#!/bin/bash
# muneem-health <path> [port]: whether the server of this container answers 200. The image has no HTTP client.
exec 3<>"/dev/tcp/127.0.0.1/${2:-8080}" || exit 1
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
read -r _ status _ <&3
[[ $status == 200 ]]
