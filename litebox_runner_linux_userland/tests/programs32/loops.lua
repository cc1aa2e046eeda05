-- Code that is made at run time: traces, and calls of C by generated stubs.
local ffi, bit = require 'ffi', require 'bit'
ffi.cdef [[ int getpid(void); int abs(int); double sqrt(double); typedef struct { int a; double b; int64_t c; } mixed;
  void qsort(void *, size_t, size_t, int (*)(const int *, const int *)); int close(int); ]]
print(jit.arch, ffi.sizeof 'void *', ffi.sizeof 'mixed', (jit.status()))
local sum = 0
for i = 1, 2e6 do sum = bit.bxor(sum, bit.rol(i, i % 31)) end
print(sum)
local x = 0.5
for i = 1, 2e6 do x = 3.9 * x * (1 - x) end
print(string.format('%.17g', x))
local sieve = ffi.new('uint8_t[?]', 200001); local primes = 0
for i = 2, 200000 do
  if sieve[i] == 0 then primes = primes + 1; for j = i * i, 200000, i do sieve[j] = 1 end end
end
print(primes)
local n = 0
for i = 1, 20000 do n = n + ffi.C.abs(-i) % 7; if ffi.C.getpid() <= 0 then n = -1 end end
print(n, ffi.C.sqrt(2), ffi.C.close(-1), ffi.errno())
local numbers = ffi.new('int[5]', 5, 3, 9, 1, 7)
ffi.C.qsort(numbers, 5, 4, function(a, b) return a[0] - b[0] end)
print(numbers[0], numbers[2], numbers[4])
local c = 0LL
for i = 1, 1e5 do c = c * 31 + i end
print(c)
local words = {}
for i = 1, 50000 do words[#words + 1] = ('%d'):format(i % 100) end
print(#table.concat(words), (table.concat(words):gsub('9', '')):len())
local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
print(co(), co(), co(), pcall(error, 'caught'))
