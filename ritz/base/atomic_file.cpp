#include "ritz/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "ritz/base/error.h"

namespace ritz {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBufferSize = size_t{1} << 16;

/// What the machine answered: the user's mistake (3) or the machine's failure (1).
[[noreturn]] void fail(int error, const std::string& what, const std::string& path) {
  const std::string reason = std::strerror(error);
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
      throw DataError("output", "a place that may be written", reason, path);
    default:
      throw SystemFailure(format_error(what, "success", reason, path));
  }
}

[[noreturn]] void fail_exists(const std::string& path) {
  throw UsageError("output", "a new file (or --force)", "an existing one", path);
}

std::string folder_of(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

/// The descriptor that a path such as /dev/stdout or /dev/fd/3 stands for, or -1. Opening such a
/// path anew would begin at the start of the file behind it.
int standard_descriptor(const std::string& path) {
  if (path == "-" || path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string prefix : {"/dev/fd/", "/proc/self/fd/"}) {
    const std::string rest = path.starts_with(prefix) ? path.substr(prefix.size()) : "";
    if (!rest.empty() && rest.size() < 8 &&
        rest.find_first_not_of("0123456789") == std::string::npos) {
      return std::stoi(rest);
    }
  }
  return -1;
}

/// True where bytes go straight to `path`: a device, a pipe, a socket.
bool is_direct(const std::string& path) {
  if (standard_descriptor(path) >= 0) return true;
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

/// Renames without replacing; where the file system cannot, a hard link does the same.
int rename_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  if (::link(from.c_str(), to.c_str()) != 0) return errno;
  ::unlink(from.c_str());
  return 0;
}

/// A new file beside `path` that only its owner knows: the process, the time and O_EXCL see to
/// that.
int open_temporary(const std::string& path, std::string& temporary) {
  // File systems bound a name at 255 bytes.
  const std::string name = fs::path(path).filename().string().substr(0, 200);
  for (int attempt = 0;; ++attempt) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    temporary = (fs::path(folder_of(path)) / ("." + name + "." + std::to_string(::getpid()) + "-" +
                                              std::to_string(now) + ".tmp"))
                    .string();
    const int descriptor = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) return descriptor;
    if (errno != EEXIST || attempt == 100) {
      const int error = errno;
      temporary.clear();
      fail(error, "output", path);
    }
  }
}

}  // namespace

void check_target(const std::string& path, bool force) {
  if (path.empty()) throw UsageError("output", "a file name", "an empty one");
  if (is_direct(path)) return;
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) throw DataError("output", "a file", "a folder", path);
    if (!force) fail_exists(path);
  } else if (errno != ENOENT) {
    fail(errno, "output", path);
  }
  const std::string folder = folder_of(path);
  if (::stat(folder.c_str(), &status) != 0) fail(errno, "output", path);
  if (!S_ISDIR(status.st_mode)) fail(ENOTDIR, "output", path);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) fail(errno, "output", path);
}

AtomicFile::AtomicFile(std::string path, bool force) : path_(std::move(path)), force_(force) {
  check_target(path_, force_);
  if (const int standard = standard_descriptor(path_); standard >= 0) {
    descriptor_ = ::fcntl(standard, F_DUPFD_CLOEXEC, 0);
    if (descriptor_ < 0) fail(errno, "output", path_);
    return;
  }
  if (is_direct(path_)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail(errno, "output", path_);
    return;
  }
  // Through a link, the file that it names is replaced and the link stays.
  std::error_code ignored;
  if (fs::is_symlink(path_, ignored)) {
    const fs::path real = fs::canonical(path_, ignored);
    if (!ignored) path_ = real.string();
  }
  descriptor_ = open_temporary(path_, temporary_);
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0) {
    (void)!::fchmod(descriptor_, status.st_mode & 0777);  // a courtesy; its refusal harms nothing
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t n = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(errno, "write", path_);
    done += static_cast<size_t>(n);
  }
  buffer_.clear();
}

void AtomicFile::write(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  size_ += size;
  if (buffer_.size() + size > kBufferSize) flush();
  if (size < kBufferSize) {
    buffer_.append(bytes, size);
    return;
  }
  while (size > 0) {
    const ssize_t n = ::write(descriptor_, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(errno, "write", path_);
    bytes += n;
    size -= static_cast<size_t>(n);
  }
}

void AtomicFile::commit() {
  flush();
  if (temporary_.empty()) {
    const int descriptor = std::exchange(descriptor_, -1);
    if (::close(descriptor) != 0) fail(errno, "write", path_);
    return;
  }
  // A library that wrote the temporary file in our stead may have replaced it: sync what is there
  // now.
  const int written = ::open(temporary_.c_str(), O_RDONLY | O_CLOEXEC);
  if (written < 0) fail(errno, "write", path_);
  int error = ::fsync(written) == 0 ? 0 : errno;
  ::close(written);
  if (::close(std::exchange(descriptor_, -1)) != 0 && error == 0) error = errno;
  if (error != 0) fail(error, "write", path_);
  if (force_) {
    error = ::rename(temporary_.c_str(), path_.c_str()) == 0 ? 0 : errno;
  } else {
    error = rename_new(temporary_, path_);
    if (error == EEXIST) fail_exists(path_);
  }
  if (error != 0) fail(error, "write", path_);
  temporary_.clear();
  // The name itself is durable once its folder is.
  const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
}

}  // namespace ritz
