#!lua name=jeton2
-- What jeton does inside Redis, each step whole or not at all. Changing a line means a new number in every name here and in library.rs:
-- replicas of two versions run side by side during a roll-out.
--
-- Numbers in Lua are doubles: microseconds stay below 2^53 and may be numbers, the random half of a revision (64 bits) stays a string.

local HOUR = 3600000

local function now_micros()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Byte by byte: Lua's own `<` follows the locale the server was started in.
local function less(a, b)
  local x, y = { string.byte(a, 1, -1) }, { string.byte(b, 1, -1) }
  for i = 1, math.min(#x, #y) do
    if x[i] ~= y[i] then return x[i] < y[i] end
  end
  return #x < #y
end

local function parts(revision)
  local micros, random = string.match(revision, '^(%d+)%-(%d+)$')
  return tonumber(micros), random
end

local function earlier(a, b)
  local a_micros, a_random = parts(a)
  local b_micros, b_random = parts(b)
  if a_micros ~= b_micros then return a_micros < b_micros end
  if #a_random ~= #b_random then return #a_random < #b_random end
  return less(a_random, b_random)
end

-- ---- records -----------------------------------------------------------------------------------------------------------------------

-- KEYS: the record. ARGV: stamp expected ('' = absent), moment of expiry in milliseconds ('' = never), value (missing = delete).
-- Answers 1, or what is there instead (nil = nothing).
local function swap(keys, args)
  local key, expected, expiry, value = keys[1], args[1], args[2], args[3]
  local same
  if expected == '' then
    same = redis.call('EXISTS', key) == 0
  else
    same = redis.call('GETRANGE', key, 0, #expected - 1) == expected
  end
  if not same then return redis.call('GET', key) end
  if not value then
    redis.call('DEL', key)
  elseif expiry == '' then
    redis.call('SET', key, value)
  else
    redis.call('SET', key, value, 'PXAT', expiry)
  end
  return 1
end

-- KEYS: one of the slot that nobody reads. A write, so that waiting for replicas after it covers all that was written before.
local function confirm(keys)
  redis.call('SET', keys[1], '', 'PX', 1000)
  return 1
end

-- ---- lists -------------------------------------------------------------------------------------------------------------------------

-- Of the members (member, expiry, member, expiry, ... earliest first) those that are too many, alike: first of the group, then of the
-- whole; never the one that was added.
local function surplus(members, added, group, group_cap, list_cap)
  local of_group = {}
  for i = 1, #members, 2 do
    if string.sub(members[i], 1, #group) == group then of_group[#of_group + 1] = i end
  end
  local is_one, count = {}, 0
  local too_many = #of_group - group_cap
  for _, i in ipairs(of_group) do
    if count >= too_many then break end
    if members[i] ~= added then
      is_one[i] = true
      count = count + 1
    end
  end
  too_many = #members / 2 - count - list_cap
  local found = {}
  for i = 1, #members, 2 do
    if not is_one[i] and too_many > 0 and members[i] ~= added then
      is_one[i] = true
      too_many = too_many - 1
    end
    if is_one[i] then
      found[#found + 1] = members[i]
      found[#found + 1] = members[i + 1]
    end
  end
  return found
end

-- KEYS: the list. ARGV: member, its expiry in milliseconds, group, cap of the group, cap of the list.
-- Answers what is more than the caps allow: member, expiry, member, expiry, ... earliest first. It stays until it is removed.
local function list_add(keys, args)
  local key, group_cap, list_cap = keys[1], tonumber(args[4]), tonumber(args[5])
  redis.call('ZADD', key, args[2], args[1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(math.floor(now_micros() / 1000)))
  local found = {}
  if redis.call('ZCARD', key) > math.min(group_cap, list_cap) then
    found = surplus(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), args[1], args[3], group_cap, list_cap)
  end
  local latest = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
  if latest then redis.call('PEXPIREAT', key, whole(tonumber(latest) + HOUR)) end
  return found
end

-- KEYS: the list. ARGV: how many, and where to go on after: expiry in milliseconds, member (both missing = from the beginning).
-- Answers member, expiry, member, expiry, ...
local function list(keys, args)
  local key, limit, expiry, member = keys[1], tonumber(args[1]), tonumber(args[2]), args[3]
  local now = math.floor(now_micros() / 1000)
  local from = '(' .. whole(now)
  if expiry and expiry > now then from = whole(expiry) end
  local found, offset = {}, 0
  while #found < 2 * limit do
    local page = redis.call('ZRANGE', key, from, '+inf', 'BYSCORE', 'LIMIT', offset, limit, 'WITHSCORES')
    for i = 1, #page, 2 do
      local passed = expiry and tonumber(page[i + 1]) == expiry and not less(member, page[i])
      if not passed and #found < 2 * limit then
        found[#found + 1] = page[i]
        found[#found + 1] = page[i + 1]
      end
    end
    if #page < 2 * limit then break end
    offset = offset + limit
  end
  return found
end

-- ---- the log -----------------------------------------------------------------------------------------------------------------------

local START = '0-0'
-- How far ahead of everything a new era begins, in microseconds.
local AHEAD = 600000000
-- Milliseconds: silent for longer than the others a replica is not waited for, and healing takes so long at most.
local SILENT, HEALING = 5000, 10000
-- So many intervals of lost places are told apart.
local INTERVALS = 1000

-- Appends an entry that raises nothing.
local function mark(log, place)
  redis.call('XADD', log, place, 'e', '\1' .. string.rep('\0', 39))
end

local function replication()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

local function newest(log)
  local row = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  return row and row[1] or START
end

local function settled_upto(key)
  return redis.call('GET', key) or START
end

-- The microsecond of the next entry: above the newest and above what the caller saw.
local function above(last, highest, now)
  return math.max(now, parts(last) + 1, highest + 1)
end

-- ---- its eras
--
-- Who looks at the era has all KEYS: log, settled, era, lost, replicas, witnessed. The last of its ARGV: the highest microsecond that its process
-- ever saw, 64 random bits for a marker, and the run id of this Redis, which cannot change under a connection (INFO tells it too, for
-- half the price of all the rest).
--
-- The era is a hash: identity, marker, state, since when and when a replica was last there (milliseconds), those who have to put back
-- what was lost ('' = nobody knows), and the horizon of the replicas.

local function saw(args)
  return tonumber(args[#args - 2])
end

-- A new era: a marker ahead of every clock and of every place that could have been acknowledged; what lies between is written down.
-- Answers it as it is read.
local function begin(keys, args, identity, state, seen, waits, now)
  local log, _, era, lost = unpack(keys)
  local tail = newest(log)
  local marker = whole(above(tail, saw(args), now) + AHEAD) .. '-' .. args[#args - 1]
  mark(log, marker)
  if redis.call('RPUSH', lost, tail .. ' ' .. marker) > INTERVALS then
    local first, second = unpack(redis.call('LPOP', lost, 2))
    redis.call('LPUSH', lost, string.match(first, '^%S+ ') .. string.match(second, '%S+$'))
  end
  local since = whole(math.floor(now / 1000))
  redis.call('HSET', era, 'identity', identity, 'marker', marker, 'state', state, 'since', since, 'seen', seen, 'waits', waits)
  return { identity, marker, state, since, seen }
end

-- The log under another primary than before, or made anew: how it has to begin, from what came back with the data.
local function meet(keys, args, identity, was, emptied, now)
  local log, settled, era, lost, replicas = unpack(keys)
  local beats = redis.call('HGETALL', replicas)
  if not was[1] and saw(args) == 0 and #beats == 0 and redis.call('EXISTS', log, settled, lost) == 0 then
    -- Never used: nothing can be lost. An entry all the same: whoever was here knows a place, and meets an emptied log as emptied.
    mark(log, whole(now) .. '-' .. args[#args - 1])
    local since = whole(math.floor(now / 1000))
    redis.call('HSET', era, 'identity', identity, 'marker', START, 'state', 'healed', 'since', since, 'seen', '0', 'waits', '')
    return { identity, START, 'healed', since, '0' }
  end
  if was[3] == 'restored' then return begin(keys, args, identity, 'restored', was[5], '', now) end
  local latest = 0
  for i = 2, #beats, 2 do latest = math.max(latest, tonumber(beats[i])) end
  local horizon = tonumber(redis.call('HGET', era, 'horizon'))
  if latest > 0 and horizon and latest + horizon < now / 1000 then
    return begin(keys, args, identity, 'restored', whole(latest), '', now)
  end
  -- Where no era came back, nobody knows who lives.
  if emptied or not was[1] then return begin(keys, args, identity, 'healing', '0', '', now) end
  local waits = ''
  for i = 1, #beats, 2 do
    if tonumber(beats[i + 1]) + SILENT >= latest then waits = waits .. beats[i] .. ' ' end
  end
  -- All had left, and who is here now knows no more than the log.
  local complete = waits == '' and saw(args) <= parts(newest(log))
  return begin(keys, args, identity, complete and 'healed' or 'healing', '0', waits, now)
end

-- Under which era the log stands. Answers the replication id, and the era: identity, marker, state, since, seen.
local function met(keys, args, now)
  local replid = replication()
  local identity = replid .. args[#args]
  local era = redis.call('HMGET', keys[3], 'identity', 'marker', 'state', 'since', 'seen')
  if era[1] ~= identity then return replid, meet(keys, args, identity, era, false, now) end
  if era[3] == 'healing' then
    local waited = now / 1000 - tonumber(era[4])
    if waited >= HEALING then
      redis.call('HSET', keys[3], 'state', 'healed')
      era[3] = 'healed'
    elseif waited < 0 then
      -- The clock went back.
      redis.call('HSET', keys[3], 'since', whole(math.floor(now / 1000)))
    end
  end
  return replid, era
end

-- Nobody waits for this replica any more. When it was the last, the log is healed.
local function release(era, replica)
  local state, waits = unpack(redis.call('HMGET', era, 'state', 'waits'))
  if state ~= 'healing' then return end
  local left, found = string.gsub(waits, replica .. ' ', '')
  if found == 0 then return end
  redis.call('HSET', era, 'waits', left)
  if left == '' then redis.call('HSET', era, 'state', 'healed') end
end

-- The first 64 bits of both ids, one upon the other; both are random.
local function short(replid, run_id)
  local function half(at)
    local a, b = string.sub(replid, at, at + 7), string.sub(run_id, at, at + 7)
    return bit.tohex(bit.bxor(tonumber(a, 16), tonumber(b, 16)))
  end
  return half(1) .. half(9)
end

-- ARGV: replica, horizon in milliseconds, whether it joins ('1').
local function beat(keys, args)
  local now = now_micros()
  local era, replicas, millis = keys[3], keys[5], math.floor(now / 1000)
  met(keys, args, now)
  redis.call('HSET', replicas, args[1], whole(millis))
  redis.call('HSET', era, 'horizon', args[2])
  if args[3] == '1' then
    local beats = redis.call('HGETALL', replicas)
    for i = 1, #beats, 2 do
      if tonumber(beats[i + 1]) + tonumber(args[2]) < millis then redis.call('HDEL', replicas, beats[i]) end
    end
  end
  return 1
end

-- ARGV: replica.
local function leave(keys, args)
  met(keys, args, now_micros())
  redis.call('HDEL', keys[5], args[1])
  release(keys[3], args[1])
  return 1
end

-- ARGV: replica, the primary under which it put back what it knew, as `short` writes it. Answers 0 where it is another by now, else 1.
local function healed(keys, args)
  local replid = met(keys, args, now_micros())
  if short(replid, args[#args]) ~= args[2] then return 0 end
  release(keys[3], args[1])
  return 1
end

-- Answers the marker of an era that takes the data as it is, whatever its shards say.
local function accept(keys, args)
  if redis.call('EXISTS', keys[6]) == 1 then
    redis.call('HSET', keys[6], 'sure', START)
    redis.call('HDEL', keys[6], 'at', 'primaries')
  end
  return begin(keys, args, replication() .. args[#args], 'healed', '0', '', now_micros())[2]
end

-- ---- its entries

-- What comes after the cursor, at most `limit` (nil = all) as id, entry, id, entry, ... behind an empty place for the head of the reply.
-- The first of the range must be the cursor itself: only then nothing was missed.
local function read(log, cursor, limit)
  local rows, first, gap
  if cursor ~= START then
    if limit then
      rows = redis.call('XRANGE', log, cursor, '+', 'COUNT', limit + 2)
    else
      rows = redis.call('XRANGE', log, cursor, '+')
    end
    if rows[1] and rows[1][1] == cursor then first = 2 else gap = true end
  end
  if not first then
    first = 1
    if limit then
      rows = redis.call('XRANGE', log, '-', '+', 'COUNT', limit + 1)
    else
      rows = redis.call('XRANGE', log, '-', '+')
    end
  end
  local last = #rows
  if limit then last = math.min(last, first + limit - 1) end
  local reply, at = { '' }, 2
  for i = first, last do
    reply[at], reply[at + 1] = rows[i][1], rows[i][2][2]
    at = at + 2
  end
  local more = #rows > last
  local head = START
  if more then
    head = newest(log)
  elseif #rows > 0 then
    head = rows[#rows][1]
  end
  return reply, head, gap, more
end

-- Under which era the log stands, and what comes after the cursor.
local function look(keys, args, now, limit)
  local replid, era = met(keys, args, now)
  local reply, head, gap, more = read(keys[1], args[1], limit)
  if gap and saw(args) > parts(head) then
    -- What the caller saw is gone, and nothing came after it: the log was emptied under its primary, and somebody new came first.
    era = meet(keys, args, era[1], era, true, now)
    reply, head, gap, more = read(keys[1], args[1], limit)
  end
  return replid, era, reply, head, gap, more
end

-- The intervals of lost places follow where the caller knows another era.
local function heading(keys, args, now, replid, era, head, gap, more)
  local told = era[2] ~= args[2]
  local sure = redis.call('HGET', keys[6], 'sure') or '-'
  local line = replid .. ' ' .. whole(now) .. ' ' .. head .. ' ' .. settled_upto(keys[2]) .. ' ' .. sure .. (gap and ' 1' or ' 0')
    .. (more and ' 1 ' or ' 0 ') .. era[2] .. ' ' .. era[3] .. ' ' .. era[5]
  if not told then return line .. ' 0' end
  return line .. ' 1 ' .. table.concat(redis.call('LRANGE', keys[4], 0, -1), ' ')
end

-- ARGV: cursor, marker of the era that the caller knows; 64 random bits and entry of each.
-- Answers a heading, then id and entry of everything after the cursor but the new ones, of which the last is the heading's head. Without an
-- entry something is written all the same, so that who waits for replicas waits for all that the log holds.
local function append(keys, args)
  local now = now_micros()
  local replid, era, reply, head, gap = look(keys, args, now, nil)
  local micros = above(head, saw(args), now)
  for i = 3, #args - 3, 2 do
    head = whole(micros) .. '-' .. args[i]
    redis.call('XADD', keys[1], head, 'e', args[i + 1])
    micros = micros + 1
  end
  if #args == 5 then redis.call('HSET', keys[3], 'identity', era[1]) end
  reply[1] = heading(keys, args, now, replid, era, head, gap, false)
  return reply
end

-- ARGV: cursor, marker of the era that the caller knows, limit. Answers a heading, then id and entry of what comes after the cursor.
local function follow(keys, args)
  local now = now_micros()
  local replid, era, reply, head, gap, more = look(keys, args, now, tonumber(args[3]))
  reply[1] = heading(keys, args, now, replid, era, head, gap, more)
  return reply
end

-- KEYS: log, settled. ARGV: revision, the primary under which it was settled as `short` writes it ('' = whichever), run id. Answers 0 where
-- that very entry is not in the log, or the primary is another by now, else 1.
local function settle(keys, args)
  local upto, under = args[1], args[2]
  if under ~= '' and short(replication(), args[3]) ~= under then return 0 end
  if #redis.call('XRANGE', keys[1], upto, upto) == 0 then return 0 end
  if earlier(settled_upto(keys[2]), upto) then redis.call('SET', keys[2], upto) end
  return 1
end

-- KEYS: log, settled, witnessed. ARGV: microseconds before which entries may go. Answers how many went.
local function trim(keys, args)
  local log, settled = keys[1], redis.call('HGET', keys[3], 'sure') or settled_upto(keys[2])
  if settled == START then return 0 end
  local keep = settled
  -- Microseconds are used once in a history: where the settled entry itself is there, nothing else shares them.
  if #redis.call('XRANGE', log, settled, settled) == 1 then keep = whole(parts(settled) + 1) .. '-0' end
  local young = args[1] .. '-0'
  if earlier(young, keep) then keep = young end
  local last = newest(log)
  if earlier(last, keep) then keep = last end
  return redis.call('XTRIM', log, 'MINID', '=', keep)
end

-- ---- what the shards of a cluster hold
--
-- Each slot has a witness: the place in the log up to which all is settled that belongs there. What is `witnessed` is a hash in the log's
-- slot: the place up to which every slot says so for `sure`, the places of the last rounds, the primaries after the last, and when it began.

-- So many rounds back a shard may fall and is believed. They are ten minutes apart.
local ROUNDS, PAUSE = 6, 600000
-- Before every place of a log: a slot without a witness is not there yet.
local FIRST = '0-1'

-- KEYS: the witness. ARGV: the least that is believed, the place. Answers 0 where it says less than is believed, else 1.
local function witness(keys, args)
  local held, place = redis.call('GET', keys[1]) or START, args[2]
  if earlier(held, args[1]) then return 0 end
  -- Written in any case, so that who waits for replicas waits for it.
  redis.call('SET', keys[1], earlier(held, place) and place or held)
  return 1
end

-- KEYS: witnessed. Answers the primaries after the last round where it is time for another, which is then the caller's; else nothing.
local function due(keys)
  local at, primaries = unpack(redis.call('HMGET', keys[1], 'at', 'primaries'))
  local now = math.floor(now_micros() / 1000)
  local passed = at and now - tonumber(at)
  if passed and passed >= 0 and passed < PAUSE then return nil end
  redis.call('HSET', keys[1], 'at', whole(now))
  return primaries or ''
end

-- KEYS: witnessed. ARGV: place, primaries. A round is complete: every slot says this place.
local function vouch(keys, args)
  local sure, places = unpack(redis.call('HMGET', keys[1], 'sure', 'places'))
  places = (places or '') .. args[1] .. ' '
  local _, rounds = string.gsub(places, ' ', '')
  sure = sure or START
  if rounds > ROUNDS then
    local first, others = string.match(places, '^(%S+) (.*)$')
    if earlier(sure, first) then sure = first end
    places = others
  end
  if sure == START then sure = FIRST end
  redis.call('HSET', keys[1], 'sure', sure, 'places', places, 'primaries', args[2])
  return 1
end

-- ---- the server --------------------------------------------------------------------------------------------------------------------

-- Answers role, replication id and run id: the run id holds as long as the connection, the replication id may change under it.
local function hello()
  local role = string.match(redis.call('INFO', 'replication'), 'role:(%a+)')
  return { role, replication(), (string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')) }
end

local function register(name, callback, flags)
  redis.register_function{ function_name = 'jeton2_' .. name, callback = callback, flags = flags }
end

register('swap', swap, {})
register('list_add', list_add, {})
register('list', list, { 'no-writes' })
register('append', append, {})
-- Flagged as a write although it mostly reads: a replica, or a primary cut off from the replicas it needs, must refuse it, for its answer
-- is what proves a view fresh. It must go on when memory is full.
register('follow', follow, { 'allow-oom' })
register('settle', settle, { 'allow-oom' })
register('trim', trim, { 'allow-oom' })
register('beat', beat, { 'allow-oom' })
register('leave', leave, { 'allow-oom' })
register('healed', healed, { 'allow-oom' })
register('accept', accept, { 'allow-oom' })
register('witness', witness, { 'allow-oom' })
register('due', due, { 'allow-oom' })
register('vouch', vouch, { 'allow-oom' })
register('confirm', confirm, { 'allow-oom' })
register('hello', hello, { 'no-writes' })
