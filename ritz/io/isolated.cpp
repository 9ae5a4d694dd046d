#include "ritz/io/detail/isolated.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <new>
#include <utility>

#include "ritz/base/error.h"
#include "ritz/base/memory.h"
#include "ritz/io/bytes.h"
#include "ritz/io/detail/hdf5.h"

namespace ritz::io {
namespace {

// The memory file: a status, its argument, then for each array a record and its data at a page.
enum class Status : uint64_t { incomplete, done, data_error, unsupported, no_memory };
constexpr uint64_t kPage = 4096;

struct Record {
  uint64_t name_size;
  uint64_t rank;
  uint64_t dtype;
  uint64_t has_data;
};

void check(bool good, const char* what) {
  if (!good) throw SystemFailure(format_error(what, "success", std::strerror(errno)));
}

/// Owns the mapped memory file.
std::shared_ptr<const void> map_file(int descriptor, size_t size) {
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
  check(memory != MAP_FAILED, "shared memory");
  return {memory, [size](const void* p) { ::munmap(const_cast<void*>(p), size); }};
}

/// The child may have been driven mad by the file, so its records are checked like any other's.
std::vector<Array> parse_records(const Bytes& bytes, const std::string& where) {
  const auto fail = [&] {
    throw DataError("reader process", "whole records", "broken ones", where);
  };
  std::vector<Array> arrays;
  uint64_t at = 16;
  while (at < bytes.size()) {
    Record record;
    if (bytes.size() - at < sizeof record) fail();
    std::memcpy(&record, bytes.data() + at, sizeof record);
    at += sizeof record;
    if (record.rank > 64 || record.name_size > bytes.size() - at ||
        record.rank * 8 > bytes.size() - at - record.name_size ||
        record.dtype > static_cast<uint64_t>(DType::complex128)) {
      fail();
    }
    std::string name(reinterpret_cast<const char*>(bytes.data()) + at, record.name_size);
    at += record.name_size;
    Layout layout;
    layout.shape.resize(record.rank);
    if (record.rank > 0) std::memcpy(layout.shape.data(), bytes.data() + at, record.rank * 8);
    at += record.rank * 8;
    layout.dtype = static_cast<DType>(record.dtype);
    if (record.has_data == 0) {
      checked_bytes(layout.shape, layout.dtype, where);
      arrays.push_back({std::move(name), std::move(layout.shape), layout.dtype, nullptr, nullptr});
      continue;
    }
    at = (at + kPage - 1) / kPage * kPage;
    arrays.push_back(take_array(bytes, at, layout, std::move(name), where));
    at += arrays.back().bytes();
  }
  return arrays;
}

/// What the child may take, so that a small file cannot have the machine.
struct Limits {
  uint64_t seconds;  // of one processor
  uint64_t memory;   // bytes beyond what this process has
};

Limits limits_for(uint64_t file_bytes) {
  const uint64_t need = (uint64_t{128} << 20) + 2 * most_expanded(file_bytes);
  return {20 + file_bytes / 10'000'000, std::min(need, static_cast<uint64_t>(available_memory()))};
}

std::string text_of(const Limits& limits) {
  return std::to_string(limits.seconds) + " s and " + std::to_string(limits.memory >> 20) + " MiB";
}

/// Bytes of private memory that this process has; 0 where the system does not say.
uint64_t private_memory() {
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0;
  for (int field = 0; field < 6; ++field) file >> pages;  // the sixth: data and stack
  return file ? pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

void limit(decltype(RLIMIT_CPU) what, uint64_t most) {
  rlimit now{};
  if (::getrlimit(what, &now) != 0) return;
  now.rlim_cur = std::min<rlim_t>(now.rlim_cur, most);
  now.rlim_max = now.rlim_cur;
  ::setrlimit(what, &now);
}

[[noreturn]] void run_child(const std::function<void(ArraySink&)>& read, ArraySink& sink,
                            const Limits& limits) {
  // A reader that the file sends round in circles ends by SIGXCPU; core dumps would be of no use.
  limit(RLIMIT_CPU, limits.seconds);
  limit(RLIMIT_CORE, 0);
  // Counts private memory alone: not the arrays, which lie in the shared file and are claimed, nor
  // what libraries and sanitizers have mapped already.
  const uint64_t owned = private_memory();
  if (owned > 0) limit(RLIMIT_DATA, owned + limits.memory);
  const int null = ::open("/dev/null", O_WRONLY);
  if (null >= 0) ::dup2(null, STDERR_FILENO);  // the libraries print
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU})
    ::signal(signal, SIG_DFL);
  try {
    try {
      read(sink);
      sink.finish();
    } catch (const std::exception& error) {
      sink.fail(error);
    }
  } catch (...) {
    ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

void ArraySink::unmap() {
  if (mapping_ != nullptr) ::munmap(std::exchange(mapping_, nullptr), mapped_);
}

ArraySink::~ArraySink() {
  unmap();
}

void ArraySink::append(const void* data, size_t size) {
  const char* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::pwrite(descriptor_, from, size, static_cast<off_t>(size_));
    check(n > 0, "shared memory");
    from += n;
    size -= static_cast<size_t>(n);
    size_ += static_cast<uint64_t>(n);
  }
}

std::byte* ArraySink::add(const ArrayInfo& info, bool data) {
  unmap();
  const uint64_t bytes = checked_bytes(info.shape, info.dtype, info.name);
  const Record record{info.name.size(), info.shape.size(), static_cast<uint64_t>(info.dtype),
                      data ? 1u : 0u};
  append(&record, sizeof record);
  append(info.name.data(), info.name.size());
  append(info.shape.data(), info.shape.size() * sizeof(int64_t));
  if (!data) return nullptr;
  const uint64_t begin = (size_ + kPage - 1) / kPage * kPage;
  check(::ftruncate(descriptor_, static_cast<off_t>(begin + bytes)) == 0, "shared memory");
  size_ = begin + bytes;
  if (bytes == 0) return nullptr;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_,
                        static_cast<off_t>(begin));
  check(memory != MAP_FAILED, "shared memory");
  mapping_ = memory;
  mapped_ = bytes;
  return static_cast<std::byte*>(memory);
}

void ArraySink::finish() {
  unmap();
  size_ = 0;
  const auto status = static_cast<uint64_t>(Status::done);
  append(&status, sizeof status);
}

void ArraySink::claim(uint64_t bytes, const std::string& where) {
  // At most 2^62 each, so that the sum of a claim and what was allowed cannot overflow.
  check_expansion(file_bytes_, claimed_ + bytes, where);
  claimed_ += bytes;
}

void ArraySink::fail(const std::exception& error) {
  auto status = Status::data_error;
  if (dynamic_cast<const Unsupported*>(&error) != nullptr) status = Status::unsupported;
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) status = Status::no_memory;
  unmap();
  check(::ftruncate(descriptor_, 16) == 0, "shared memory");
  size_ = 16;
  append(error.what(), std::strlen(error.what()));
  size_ = 0;
  append(&status, sizeof status);
}

std::vector<Array> read_isolated(const std::function<void(ArraySink&)>& read, uint64_t file_bytes,
                                 const std::string& where) {
  const int descriptor = ::memfd_create("ritz-reader", MFD_CLOEXEC);
  check(descriptor >= 0, "shared memory");
  const std::shared_ptr<const void> closer(nullptr,
                                           [descriptor](const void*) { ::close(descriptor); });
  check(::ftruncate(descriptor, 16) == 0, "shared memory");
  const Limits limits = limits_for(file_bytes);
  const pid_t child = [] {
    // No other thread may be inside HDF5 while its state is copied.
    const std::lock_guard<std::mutex> lock(hdf5_mutex());
    return ::fork();
  }();
  check(child >= 0, "reader process");
  if (child == 0) {
    ArraySink sink(descriptor, file_bytes);
    run_child(read, sink, limits);
  }
  int ended = 0;
  while (::waitpid(child, &ended, 0) < 0 && errno == EINTR) {
  }
  struct stat file {};
  check(::fstat(descriptor, &file) == 0 && file.st_size >= 16, "shared memory");
  const auto size = static_cast<size_t>(file.st_size);
  const auto memory = map_file(descriptor, size);
  const Bytes bytes{{static_cast<const std::byte*>(memory.get()), size}, memory};
  switch (static_cast<Status>(load_little<uint64_t>(bytes.span, 0))) {
    case Status::done:
      return parse_records(bytes, where);
    case Status::unsupported:
      throw Unsupported(std::string(bytes.text().substr(16)));
    case Status::data_error:
      throw DataError(std::string(bytes.text().substr(16)));
    case Status::no_memory:
      throw DataError("file", "one that is read within " + text_of(limits), "a need for more",
                      where);
    case Status::incomplete:
      break;
  }
  throw DataError("file", "one that its library can read within " + text_of(limits),
                  "a reader that died of it", where);
}

}  // namespace ritz::io
