#include "ritz/io/png_image.h"

#include <png.h>

#include <cstring>
#include <string>
#include <vector>

#include "ritz/base/error.h"

// libpng leaves by longjmp. Between a setjmp and the last call into libpng stand only functions
// whose locals need no destructor; everything that owns memory belongs to the function that calls
// them.
namespace ritz::io {
namespace {

constexpr uint64_t kMaxPixels = uint64_t{1} << 28;

struct Job {
  std::span<const std::byte> input;
  size_t position = 0;
  std::string* output = nullptr;
  char message[128] = {};
};

void on_error(png_structp png, png_const_charp message) {
  auto* job = static_cast<Job*>(png_get_error_ptr(png));
  std::strncpy(job->message, message, sizeof job->message - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep to, size_t size) {
  auto* job = static_cast<Job*>(png_get_io_ptr(png));
  if (size > job->input.size() - job->position) png_error(png, "the end of the file");
  std::memcpy(to, job->input.data() + job->position, size);
  job->position += size;
}

void on_write(png_structp png, png_bytep from, size_t size) {
  auto* job = static_cast<Job*>(png_get_io_ptr(png));
  bool stored = true;
  try {
    job->output->append(reinterpret_cast<const char*>(from), size);
  } catch (...) {
    stored = false;  // no exception may cross libpng's frames
  }
  if (!stored) png_error(png, "no memory");
}

void on_flush(png_structp) {}

struct Size {
  png_uint_32 height = 0;
  png_uint_32 width = 0;
  int channels = 0;
  int depth = 0;
  size_t row_bytes = 0;
};

bool read_header(png_structp png, png_infop info, Job* job, Size* size) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_read_fn(png, job, on_read);
  // Ancillary chunks are of no use here, and each of them a parser.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(png, info);
  png_set_expand(png);  // palettes, 1 to 4 bits, transparency
  if (png_get_bit_depth(png, info) == 16) png_set_swap(png);
  (void)png_set_interlace_handling(png);
  png_read_update_info(png, info);
  size->height = png_get_image_height(png, info);
  size->width = png_get_image_width(png, info);
  size->channels = png_get_channels(png, info);
  size->depth = png_get_bit_depth(png, info);
  size->row_bytes = png_get_rowbytes(png, info);
  return true;
}

bool read_rows(png_structp png, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_read_image(png, rows);
  png_read_end(png, nullptr);
  return true;
}

bool write_rows(png_structp png, png_infop info, Job* job, const Size& size, png_bytepp rows) {
  constexpr int kColours[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                              PNG_COLOR_TYPE_RGB_ALPHA};
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_write_fn(png, job, on_write, on_flush);
  png_set_IHDR(png, info, size.width, size.height, size.depth, kColours[size.channels - 1],
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  if (size.depth == 16) png_set_swap(png);
  png_write_image(png, rows);
  png_write_end(png, info);
  return true;
}

std::vector<png_bytep> row_pointers(const std::byte* data, const Size& size) {
  std::vector<png_bytep> rows(size.height);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = const_cast<png_bytep>(reinterpret_cast<const png_byte*>(data)) + i * size.row_bytes;
  }
  return rows;
}

class Reader {
 public:
  explicit Reader(Job* job)
      : png_(png_create_read_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning)),
        info_(png_ != nullptr ? png_create_info_struct(png_) : nullptr) {
    if (info_ == nullptr) throw std::bad_alloc();
  }
  ~Reader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  png_structp png() const { return png_; }
  png_infop info() const { return info_; }

 private:
  png_structp png_;
  png_infop info_;
};

class Writer {
 public:
  explicit Writer(Job* job)
      : png_(png_create_write_struct(PNG_LIBPNG_VER_STRING, job, on_error, on_warning)),
        info_(png_ != nullptr ? png_create_info_struct(png_) : nullptr) {
    if (info_ == nullptr) throw std::bad_alloc();
  }
  ~Writer() { png_destroy_write_struct(&png_, &info_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  png_structp png() const { return png_; }
  png_infop info() const { return info_; }

 private:
  png_structp png_;
  png_infop info_;
};

}  // namespace

Array parse_png(const Bytes& bytes, std::string_view where) {
  Job job;
  job.input = bytes.span;
  const Reader reader(&job);
  Size size;
  if (!read_header(reader.png(), reader.info(), &job, &size)) {
    throw DataError("PNG image", "a valid header", job.message, where);
  }
  if (uint64_t{size.height} * size.width > kMaxPixels) {
    throw DataError("PNG image", "at most 2^28 pixels",
                    std::to_string(size.height) + " x " + std::to_string(size.width), where);
  }
  check_expansion(bytes.size(), uint64_t{size.height} * size.row_bytes, where);
  std::vector<int64_t> shape = {size.height, size.width};
  if (size.channels > 1) shape.push_back(size.channels);
  Array array = make_array("", std::move(shape), size.depth == 16 ? DType::uint16 : DType::uint8);
  if (array.bytes() != size.row_bytes * size.height) {
    throw DataError("PNG image", "8 or 16 bits a sample", std::to_string(size.depth), where);
  }
  std::vector<png_bytep> rows = row_pointers(array.data, size);
  if (!read_rows(reader.png(), rows.data()))
    throw DataError("PNG image", "valid rows", job.message, where);
  return array;
}

void write_png(AtomicFile& file, const Array& array) {
  const size_t rank = array.shape.size();
  const int64_t channels = rank == 3 ? array.shape[2] : 1;
  const bool sized = (rank == 2 || rank == 3) && channels >= 1 && channels <= 4 &&
                     array.count() > 0 && array.shape[0] <= 1000000 &&
                     array.shape[1] <= 1000000;  // libpng's own limits
  if (!sized || (array.dtype != DType::uint8 && array.dtype != DType::uint16)) {
    throw Unsupported(format_error("PNG", "uint8 or uint16 [H, W] or [H, W, 1 to 4]",
                                   describe(array), file.path()));
  }
  std::string output;
  Job job;
  job.output = &output;
  const Writer writer(&job);
  Size size{static_cast<png_uint_32>(array.shape[0]), static_cast<png_uint_32>(array.shape[1]),
            static_cast<int>(channels), static_cast<int>(8 * size_of(array.dtype)), 0};
  size.row_bytes = array.bytes() / size.height;
  std::vector<png_bytep> rows = row_pointers(array.data, size);
  if (!write_rows(writer.png(), writer.info(), &job, size, rows.data())) {
    throw SystemFailure(format_error("PNG", "success", job.message, file.path()));
  }
  file.write(output);
}

}  // namespace ritz::io
