#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "ritz/base/error.h"
#include "ritz/base/mapped_file.h"
#include "ritz/io/detail/hdf5.h"

namespace ritz::io {

void write_by_path(AtomicFile& file, const std::function<void(const std::string& path)>& write) {
  if (!file.temporary().empty()) {
    write(file.temporary());
    return;
  }
  std::string scratch = (std::filesystem::temp_directory_path() / "ritz-XXXXXX").string();
  const int descriptor = ::mkstemp(scratch.data());
  if (descriptor < 0) {
    throw SystemFailure(format_error("temporary file", "success", std::strerror(errno), scratch));
  }
  ::close(descriptor);
  const std::shared_ptr<const void> remover(nullptr,
                                            [&](const void*) { ::unlink(scratch.c_str()); });
  write(scratch);
  const auto whole = MappedFile::open(scratch);
  file.write(whole->data(), whole->size());
}

}  // namespace ritz::io
