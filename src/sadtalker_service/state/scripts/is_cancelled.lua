-- Whether the worker that runs a session must stop.
local id = ARGV[1]
local successor = get(id, 'successor')
while successor do
  id, successor = successor, get(successor, 'successor')
end
local state, flagged = get(id, 'state', 'cancel')
return (state ~= 'generating' or flagged) and 1 or 0
