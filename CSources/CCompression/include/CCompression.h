#pragma once
// The compression libraries that Kafka's record batches use, as Debian packages carry them.
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>
