#!lua name=jeton1
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

local function replication()
  local info = redis.call('INFO', 'replication')
  return string.match(info, 'master_replid:(%x+)'), string.match(info, 'role:(%a+)')
end

local function newest(log)
  local row = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  return row and row[1] or START
end

local function settled_upto(key)
  return redis.call('GET', key) or START
end

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

local function heading(now, head, settled, gap, more)
  return table.concat({ (replication()), whole(now), head, settled, gap and '1' or '0', more and '1' or '0' }, ' ')
end

-- KEYS: log, settled. ARGV: entry, cursor, microseconds it must be above, 64 random bits in decimal.
-- Answers a heading, then id and entry of everything after the cursor but the new one, which is the heading's head.
local function append(keys, args)
  local log, cursor = keys[1], args[2]
  local last = newest(log)
  local reply, gap = { '' }, false
  if cursor ~= last then
    local _
    reply, _, gap = read(log, cursor, nil)
  end
  local now = now_micros()
  local id = whole(math.max(now, parts(last) + 1, tonumber(args[3]) + 1)) .. '-' .. args[4]
  redis.call('XADD', log, id, 'e', args[1])
  reply[1] = heading(now, id, settled_upto(keys[2]), gap, false)
  return reply
end

-- KEYS: log, settled. ARGV: cursor, limit. Answers a heading, then id and entry of what comes after the cursor.
local function follow(keys, args)
  local now = now_micros()
  local reply, head, gap, more = read(keys[1], args[1], tonumber(args[2]))
  reply[1] = heading(now, head, settled_upto(keys[2]), gap, more)
  return reply
end

-- KEYS: log, settled. ARGV: revision. Answers 0 where that very entry is not in the log, else 1.
local function settle(keys, args)
  local upto = args[1]
  if #redis.call('XRANGE', keys[1], upto, upto) == 0 then return 0 end
  if earlier(settled_upto(keys[2]), upto) then redis.call('SET', keys[2], upto) end
  return 1
end

-- KEYS: log, settled. ARGV: microseconds before which entries may go. Answers how many went.
local function trim(keys, args)
  local log, settled = keys[1], settled_upto(keys[2])
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

-- ---- the server --------------------------------------------------------------------------------------------------------------------

-- Answers role, replication id and run id: the run id holds as long as the connection, the replication id may change under it.
local function hello()
  local replid, role = replication()
  return { role, replid, (string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')) }
end

local function register(name, callback, flags)
  redis.register_function{ function_name = 'jeton1_' .. name, callback = callback, flags = flags }
end

register('swap', swap, {})
register('list_add', list_add, {})
register('list', list, { 'no-writes' })
register('append', append, {})
-- Flagged as a write although it only reads: a replica, or a primary cut off from the replicas it needs, must refuse it, for its answer
-- is what proves a view fresh. It must go on when memory is full.
register('follow', follow, { 'allow-oom' })
register('settle', settle, { 'allow-oom' })
register('trim', trim, { 'allow-oom' })
register('hello', hello, { 'no-writes' })
