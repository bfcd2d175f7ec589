"""The Lua scripts that write a page of rows: nothing that is later than its read is replaced."""

from __future__ import annotations

from typing import Final

from async_backfill._envelopes.envelope import VERSION

COMPARE: Final = """
local function version_at(data)
    if #data > 2 and string.byte(data) == 191 and string.byte(data, 2) == VERSION then
        local flags = string.byte(data, 3)
        local at = flags % 2 == 1 and 48 or 20
        return flags % 8 > 3 and #data >= at + 7 and at
    end
end
local function is_higher(old, old_at, new, new_at)
    local high, low = struct.unpack('>I4I4', old, old_at)
    local new_high, new_low = struct.unpack('>I4I4', new, new_at)
    return high > new_high or high == new_high and low > new_low
end
""".replace("VERSION", str(VERSION))
"""Lua functions: the place of the version in an envelope, if it has one, and whether the old one is higher.

They are compared as two numbers of 4 bytes, because a number of this language holds less than 8.
"""

WRITE: Final = """
COMPARE
local time = redis.call('TIME')
local now, read_at = time[1] + time[2] / 1000000, tonumber(ARGV[1])
if now - read_at > tonumber(ARGV[2]) then return -1 end
if read_at - now > tonumber(ARGV[3]) then return -2 end
local stamp, px, many = read_at - ARGV[4], ARGV[5], ARGV[6] == '1'
local there = redis.call('MGET', unpack(KEYS))
local last = #KEYS
if ARGV[7] ~= '-' then
    local cleared = there[last]
    if cleared and cleared ~= ARGV[7] and #cleared >= 9 and struct.unpack('>d', cleared, 2) >= stamp then
        return cleared
    end
    last = last - 1
end
local known, left, kept = {}, {}, 0
local new_at = last > 0 and version_at(ARGV[8])
for at = 8 + last, #ARGV, 2 do known[tonumber(ARGV[at])] = ARGV[at + 1] end
local head = px == '' and 1 or 2
local args = {'MSET'}
for i = 1, last do
    local value, later = there[i], nil
    if value then
        local first, old = string.byte(value), value
        if first == 76 then
            later = (tonumber(string.sub(value, 18, 30)) or 0) / 1000 >= stamp and -i
            old = string.sub(value, 31)
        end
        local is_known = known[i] and string.sub(value, 1, #known[i]) == known[i] or value == ARGV[7 + i]
        local old_at = new_at and version_at(old)
        if later or is_known then  -- as it is
        elseif old_at then
            later = is_higher(old, old_at, ARGV[7 + i], new_at) and i
        elseif first == 84 and #value >= 9 then
            later = struct.unpack('>d', value, 2) >= stamp and i
        elseif first == 191 and #value >= 19 then
            local at = string.byte(value, 3) % 2 == 1 and 40 or 12
            if string.byte(value, 2) > VERSION then
                later = i
            elseif #value >= at + 7 then
                later = struct.unpack('>d', value, at) >= stamp and i
            end
        end
    end
    if later then
        left[#left + 1] = later
    elseif px ~= '' and not many then
        redis.call('SET', KEYS[i], ARGV[7 + i], 'PX', px)
    else
        kept = kept + 1
        args[head + 2 * kept - 1] = KEYS[i]
        args[head + 2 * kept] = ARGV[7 + i]
    end
end
if kept > 0 then
    if px ~= '' then
        args[1], args[2] = 'MSETEX', kept
        args[2 * kept + 3], args[2 * kept + 4] = 'PX', px
    end
    redis.call(unpack(args))
end
return left
""".replace("COMPARE", COMPARE).replace("VERSION", str(VERSION))
"""Write values to keys, except where something later is, and return which were left alone.

Arguments: when the read began, the seconds for which the page is taken, those that this time may be ahead of
the server's, the margin; milliseconds to live, or nothing; 1 when there is MSETEX; the stamp of a clear that
is known (then the last key is that of the stamp, which is none of the page's), or ``-``; the values; pairs of
a place and the beginning of what is known to be older there.

A value that is there already, because an answer was lost, is written again.
Where the value and what is there have versions, these are compared.

Returns -1 for a page that is too old, -2 for one of the future, the stamp of a clear that is later, or the
places left alone: negative where there is a lease. One that is over counts if it was not before the read.
Times are compared as numbers: text is compared by the server's locale.
"""

UNDO: Final = """
local undone = 0
for i = 1, #KEYS do
    if redis.pcall('GET', KEYS[i]) == ARGV[2 + i] then
        redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
        undone = undone + 1
    end
end
return undone
"""
"""Put a tombstone in the place of each value that is still there.

Arguments: the tombstone, the milliseconds that it stays, the values.
"""
