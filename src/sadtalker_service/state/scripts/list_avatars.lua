-- A page of avatars, latest first, after the one with this score and name: {JSON texts, last name, its score, upload
-- times}. An empty owner stands for all owners. The last name is empty on the last page. If the avatar before the
-- page was deleted, its score gives the position.
local limit, score, after, owner = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local avatars = owner == '' and 'avatars' or 'avatars:' .. owner
local first = 0
if after ~= '' then
  local rank = redis.call('ZREVRANK', avatars, after)
  first = rank and rank + 1 or redis.call('ZCOUNT', avatars, '(' .. score, '+inf')
end
local names = redis.call('ZREVRANGE', avatars, first, first + limit) -- one extra shows whether more follow
local more = #names > limit
if more then
  names[#names] = nil
end
local texts, times = {}, {}
for index, name in ipairs(names) do
  texts[index] = redis.call('GET', 'avatar:' .. name)
  times[index] = owner == '' and '' or redis.call('ZSCORE', avatars, name)
end
local last = more and names[#names] or ''
return { texts, last, last ~= '' and redis.call('ZSCORE', avatars, last) or '', times }
