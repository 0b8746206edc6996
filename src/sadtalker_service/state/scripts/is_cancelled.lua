-- Whether the worker that runs a session shall stop.
local id = ARGV[1]
local heir = get(id, 'heir')
while heir do
  id, heir = heir, get(heir, 'heir')
end
local state, flagged = get(id, 'state', 'cancel')
return (state ~= 'generating' or flagged) and 1 or 0
