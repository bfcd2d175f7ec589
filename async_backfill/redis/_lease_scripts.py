"""The Lua scripts of leases in Redis: acquire them, end them.

A marker is ``L``, a token of 16 bytes, the time of its end in milliseconds as 13 digits, the outdated value.
The last 4 bytes of a token are zero until its lease is taken over: see `Leases`.
"""

from __future__ import annotations

from typing import Final

from async_backfill.redis._marks import LIFE
from async_backfill.redis._page_scripts import COMPARE

ACQUIRE: Final = """
local time, answers = redis.call('TIME'), {}
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = 'L' .. ARGV[1] .. string.format('%013d', now + ARGV[2])
local first = string.sub(ARGV[1], 1, 12) .. string.rep(string.char(0), 4)
for i = 1, #KEYS do
    local kind = redis.call('TYPE', KEYS[i])['ok']
    local old = kind == 'string' and redis.call('GETRANGE', KEYS[i], 0, ARGV[#ARGV] + 30) or ''
    local left, known = -1, ARGV[2 + i]
    if string.sub(old, 1, 1) == 'L' then
        left = (tonumber(string.sub(old, 18, 30)) or 0) - now
        local token = string.sub(old, 2, 17)
        if left >= 0 and left <= tonumber(ARGV[2]) then
            if token == first and token ~= ARGV[1] then
                known = '*'
            else
                answers[i] = {left, token}
            end
        end
        old = string.sub(old, 31)
    elseif string.sub(old, 1, 1) == 'T' then
        old = ''
    end
    if not answers[i] and old ~= '' and old ~= known and known ~= '*' then
        answers[i] = old
    elseif not answers[i] then
        local ttl = redis.call('PTTL', KEYS[i])
        if old == '' or old == known or ttl == 0 then
            redis.call('SET', KEYS[i], lease, 'PX', math.max(ARGV[2], LIFE))
        elseif ttl > 0 then
            redis.call('SET', KEYS[i], lease .. old, 'PX', ttl)
        else
            redis.call('SET', KEYS[i], lease .. old)
        end
        answers[i] = 1
    end
end
return answers
""".replace("LIFE", str(LIFE))
"""A Lua script that leases each key without a value and a lease, or whose value is known and counts as none.

For each key it gets such a value, or ``*`` for any. It returns for each 1 (leased), the milliseconds left of
another's lease and its token, or the value: of one that is too long for the reader, whose limit is the last
argument, only so much that this shows. A key of another Redis type, or with a lease that is over or
longer than these leases are, counts as free; so does a lease that the new token takes over, and a
tombstone. A marker stays as long as a tombstone would: it is all that is left of the one it replaced.
"""

END: Final = """
COMPARE
local time, kept, news = redis.call('TIME'), {}, ''
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #KEYS do
    local value, at = redis.pcall('GET', KEYS[i]), 3 * i
    local new, old = ARGV[at + 1], nil
    kept[i] = 0
    local same = new ~= '' and new ~= '-' and 13 or 17
    if type(value) == 'string' and string.sub(value, 1, same) == string.sub(ARGV[at], 1, same) then
        if (tonumber(string.sub(value, 18, 30)) or 0) >= now then
            kept[i], old = 1, string.sub(value, 31)
        end
    end
    if old then
        local ttl, ended = redis.call('PTTL', KEYS[i]), nil
        local old_at, new_at = version_at(old), version_at(new)
        if old_at and new_at and is_higher(old, old_at, new, new_at) then
            kept[i], new = 0, ''
        end
        if new == '' and old ~= '' and ttl > 0 then
            ended = redis.pcall('SET', KEYS[i], old, 'PX', ttl)
        elseif new == '' and old ~= '' and ttl < 0 then
            ended = redis.pcall('SET', KEYS[i], old)
        elseif new == '' or new == '-' then
            local gone = 'T' .. struct.pack('>d', now / 1000) .. string.sub(ARGV[at], 2, 5)
            ended = redis.pcall('SET', KEYS[i], gone, 'PX', LIFE)
        elseif ARGV[1] == '' then
            redis.call('SET', KEYS[i], new)
        else
            redis.call('SET', KEYS[i], new, 'PX', ARGV[1])
        end
        if type(ended) == 'table' and ended['err'] then
            redis.call('DEL', KEYS[i])
        end
        news = news .. ARGV[at + 2]
    else
        news = news .. string.sub(ARGV[at + 2], 1, 16) .. string.char(0)
    end
end
redis.call('PUBLISH', ARGV[2], news)
return kept
""".replace("COMPARE", COMPARE).replace("LIFE", str(LIFE))
"""A Lua script that ends leases that are still held, and wakes the watchers.

Each ends with a value, with the outdated value (an empty new one), or with nothing (``-``): then a tombstone
stays, or the way would be free for a page that was read before a removal. A value is also taken under the
token from which, or to which, the lease was taken over. Where its version is lower than that of the outdated
value, that one stays, and the lease has ended without the new one.
"""
