#include "ritz/io/summary.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <thread>
#include <type_traits>

#include "ritz/io/half.h"

namespace ritz::io {
namespace {

// Independent accumulators: the compiler turns the loop over them into vector minima and maxima,
// which strict floating-point order would forbid on one. 64 hide the latency of each.
constexpr int64_t kLanes = 64;
// A thread's turn: large enough to be read ahead, small enough to balance.
constexpr int64_t kChunkBytes = int64_t{1} << 23;

template <class T>
struct Range {
  T low = std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                               : std::numeric_limits<T>::max();
  T high = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                : std::numeric_limits<T>::lowest();
  int64_t nan = 0;

  void merge(const Range& other) {
    low = std::min(low, other.low);
    high = std::max(high, other.high);
    nan += other.nan;
  }
};

/// Range of n values; a comparison with NaN is false and so leaves it out. Counts of NaN are kept
/// in the width of T, so that they share its vectors: a chunk has fewer than 2^17 steps of a lane.
template <class T>
Range<T> scan(const T* x, int64_t n) {
  using Count = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
  Range<T> range;
  T low[kLanes];
  T high[kLanes];
  Count nan[kLanes] = {};
  std::fill_n(low, kLanes, range.low);
  std::fill_n(high, kLanes, range.high);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      const T value = x[i + j];
      low[j] = value < low[j] ? value : low[j];
      high[j] = value > high[j] ? value : high[j];
      if constexpr (std::is_floating_point_v<T>) nan[j] += value != value ? 1 : 0;
    }
  }
  for (; i < n; ++i) {
    low[0] = x[i] < low[0] ? x[i] : low[0];
    high[0] = x[i] > high[0] ? x[i] : high[0];
    if constexpr (std::is_floating_point_v<T>) nan[0] += x[i] != x[i] ? 1 : 0;
  }
  for (int64_t j = 0; j < kLanes; ++j) range.merge({low[j], high[j], nan[j]});
  return range;
}

/// The same for values that are first widened to float.
template <float (*kConvert)(uint16_t)>
Range<float> scan_half(const uint16_t* x, int64_t n) {
  constexpr int64_t kBlock = 1024;
  float wide[kBlock];
  Range<float> range;
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t count = std::min(kBlock, n - i);
    for (int64_t j = 0; j < count; ++j) wide[j] = kConvert(x[i + j]);
    range.merge(scan(wide, count));
  }
  return range;
}

/// Asks for the pages of a mapped file at once instead of one fault each; a refusal costs nothing.
void prefetch(const void* data, int64_t bytes) {
#ifdef MADV_POPULATE_READ
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t before = reinterpret_cast<uintptr_t>(data) % page;
  ::madvise(static_cast<char*>(const_cast<void*>(data)) - before,
            before + static_cast<uintptr_t>(bytes), MADV_POPULATE_READ);
#else
  (void)data;
  (void)bytes;
#endif
}

/// Threads take every k-th chunk, so that together they read the file in order.
template <class T, class Out, class Scan>
Range<Out> scan_parallel(const Array& array, int64_t count, int threads, Scan scan_chunk) {
  const T* x = reinterpret_cast<const T*>(array.data);
  const int64_t chunk = kChunkBytes / static_cast<int64_t>(sizeof(T));
  const int64_t chunks = (count + chunk - 1) / chunk;
  const int64_t workers = std::clamp<int64_t>(threads, 1, std::max<int64_t>(chunks, 1));
  std::vector<Range<Out>> ranges(static_cast<size_t>(workers));
  const auto work = [&](int64_t worker) {
    for (int64_t c = worker; c < chunks; c += workers) {
      const int64_t n = std::min(chunk, count - c * chunk);
      if (chunks > 1) prefetch(x + c * chunk, n * static_cast<int64_t>(sizeof(T)));
      ranges[static_cast<size_t>(worker)].merge(scan_chunk(x + c * chunk, n));
    }
  };
  std::vector<std::thread> others;
  for (int64_t worker = 1; worker < workers; ++worker) others.emplace_back(work, worker);
  work(0);
  for (std::thread& other : others) other.join();
  for (size_t i = 1; i < ranges.size(); ++i) ranges[0].merge(ranges[i]);
  return ranges[0];
}

template <class Out>
ArraySummary finish(const Range<Out>& range, int64_t count) {
  using Wide = std::conditional_t<std::is_floating_point_v<Out>, double,
                                  std::conditional_t<std::is_signed_v<Out>, int64_t, uint64_t>>;
  ArraySummary summary;
  summary.nan = range.nan;
  if (range.nan < count) {
    summary.min = static_cast<Wide>(range.low);
    summary.max = static_cast<Wide>(range.high);
  }
  return summary;
}

template <class T>
ArraySummary real(const Array& array, int threads) {
  return finish(scan_parallel<T, T>(array, array.count(), threads, scan<T>), array.count());
}

template <float (*kConvert)(uint16_t)>
ArraySummary half(const Array& array, int threads) {
  return finish(scan_parallel<uint16_t, float>(array, array.count(), threads, scan_half<kConvert>),
                array.count());
}

template <class T>
struct Pair {
  T re;
  T im;
};

template <class T>
ArraySummary complex(const Array& array, int threads) {
  const auto count_nan = [](const Pair<T>* x, int64_t n) {
    Range<T> range;
    for (int64_t i = 0; i < n; ++i) range.nan += x[i].re != x[i].re || x[i].im != x[i].im ? 1 : 0;
    return range;
  };
  ArraySummary summary;
  summary.nan = scan_parallel<Pair<T>, T>(array, array.count(), threads, count_nan).nan;
  return summary;
}

}  // namespace

ArraySummary summarise(const Array& array, int threads) {
  if (threads <= 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  switch (array.dtype) {
    case DType::boolean:
    case DType::uint8:
      return real<uint8_t>(array, threads);
    case DType::int8:
      return real<int8_t>(array, threads);
    case DType::int16:
      return real<int16_t>(array, threads);
    case DType::int32:
      return real<int32_t>(array, threads);
    case DType::int64:
      return real<int64_t>(array, threads);
    case DType::uint16:
      return real<uint16_t>(array, threads);
    case DType::uint32:
      return real<uint32_t>(array, threads);
    case DType::uint64:
      return real<uint64_t>(array, threads);
    case DType::float16:
      return half<float16_to_float>(array, threads);
    case DType::bfloat16:
      return half<bfloat16_to_float>(array, threads);
    case DType::float32:
      return real<float>(array, threads);
    case DType::float64:
      return real<double>(array, threads);
    case DType::complex64:
      return complex<float>(array, threads);
    case DType::complex128:
      return complex<double>(array, threads);
  }
  return {};
}

}  // namespace ritz::io
