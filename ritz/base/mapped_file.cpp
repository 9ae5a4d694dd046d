#include "ritz/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "ritz/base/error.h"

namespace ritz {
namespace {

// Below this, reading is as fast as mapping, and a file shortened meanwhile cannot harm.
constexpr size_t kMapFrom = size_t{1} << 20;

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator int() const { return value_; }

 private:
  int value_;
};

[[noreturn]] void fail(int error, const std::string& path) {
  if (error == EISDIR) throw DataError("input", "a file", "a folder", path);
  const std::string reason = std::strerror(error);
  if (error == EIO || error == EMFILE || error == ENFILE || error == ENOMEM) {
    throw SystemFailure(format_error("input", "success", reason, path));
  }
  throw DataError("input", "a readable file", reason, path);
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  std::shared_ptr<MappedFile> file(new MappedFile);
  const Descriptor descriptor(path == "-" ? ::dup(STDIN_FILENO)
                                          : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor < 0) fail(errno, path);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) fail(errno, path);
  if (S_ISDIR(status.st_mode)) fail(EISDIR, path);
  const auto size = static_cast<size_t>(status.st_size);
  if (S_ISREG(status.st_mode) && path != "-" && size >= kMapFrom) {
    void* mapping = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapping != MAP_FAILED) {
      file->mapping_ = mapping;
      file->data_ = static_cast<const std::byte*>(mapping);
      file->size_ = size;
      return file;
    }
  }
  file->buffer_.reserve(S_ISREG(status.st_mode) ? size + 1 : 0);
  file->read_all(descriptor, path);
  file->data_ = file->buffer_.data();
  file->size_ = file->buffer_.size();
  return file;
}

void MappedFile::read_all(int descriptor, const std::string& path) {
  size_t size = 0;
  while (true) {
    if (size == buffer_.size()) {
      buffer_.resize(buffer_.size() < buffer_.capacity() ? buffer_.capacity()
                                                         : buffer_.size() * 2 + 65536);
    }
    const ssize_t n = ::read(descriptor, buffer_.data() + size, buffer_.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(errno, path);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  buffer_.resize(size);
}

void MappedFile::release(size_t begin, size_t end) const {
  if (mapping_ == nullptr) return;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  begin = (begin + page - 1) / page * page;
  end = end >= size_ ? size_ : end / page * page;
  if (begin < end) ::madvise(static_cast<std::byte*>(mapping_) + begin, end - begin, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (mapping_ != nullptr) ::munmap(mapping_, size_);
}

}  // namespace ritz
