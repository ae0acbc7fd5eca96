// CRC-32C with the instructions that the processor has.
//
// The long form keeps three CRC streams going at once, because the instruction has a latency of three cycles and a
// throughput of one, and joins them by a carry-less multiplication (V. Gopal et al., "Fast CRC Computation for iSCSI
// Polynomial Using CRC32 Instruction", Intel, 2011). Short inputs take one stream.

#include "CHost.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82F63B78u // reflected

static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
        table[0][i] = crc;
    }
    for (int slice = 1; slice < 8; slice++) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t previous = table[slice - 1][i];
            table[slice][i] = (previous >> 8) ^ table[0][previous & 0xff];
        }
    }
}

uint32_t hutong_crc32c_portable(uint32_t crc, const void *data, size_t length) {
    pthread_once(&table_once, make_table);
    const uint8_t *byte = data;
    crc = ~crc;
    while (length >= 8) {
        uint32_t low = crc ^ ((uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 | (uint32_t)byte[3] << 24);
        crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^ table[4][low >> 24]
            ^ table[3][byte[4]] ^ table[2][byte[5]] ^ table[1][byte[6]] ^ table[0][byte[7]];
        byte += 8;
        length -= 8;
    }
    while (length-- > 0) crc = (crc >> 8) ^ table[0][(crc ^ *byte++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("sse4.2"))) static uint64_t one_stream(uint64_t crc, const uint8_t *byte, size_t length) {
    for (; length >= 32; byte += 32, length -= 32) {
        uint64_t words[4];
        memcpy(words, byte, 32);
        crc = _mm_crc32_u64(crc, words[0]);
        crc = _mm_crc32_u64(crc, words[1]);
        crc = _mm_crc32_u64(crc, words[2]);
        crc = _mm_crc32_u64(crc, words[3]);
    }
    for (; length >= 8; byte += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, byte, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    if (length & 4) {
        uint32_t word;
        memcpy(&word, byte, 4);
        crc = _mm_crc32_u32((uint32_t)crc, word);
        byte += 4;
    }
    if (length & 2) {
        uint16_t word;
        memcpy(&word, byte, 2);
        crc = _mm_crc32_u16((uint32_t)crc, word);
        byte += 2;
    }
    if (length & 1) crc = _mm_crc32_u8((uint32_t)crc, *byte);
    return crc;
}

__attribute__((target("sse4.2"))) static uint32_t crc_sse(uint32_t crc, const void *data, size_t length) {
    return ~(uint32_t)one_stream((uint32_t)~crc, data, length);
}

// x^n modulo the polynomial, reflected: what a CRC is multiplied by when n more bits follow it.
static uint32_t power_of_x(uint64_t bits) {
    uint32_t result = 0x80000000u; // 1
    uint32_t square = 0x40000000u; // x
    for (; bits > 0; bits >>= 1) {
        uint32_t factors[2] = {result, square};
        for (int which = (bits & 1) ? 0 : 1; which < 2; which++) {
            uint32_t a = factors[which], product = 0, b = square;
            for (uint32_t mask = 0x80000000u; mask != 0; mask >>= 1) {
                if (a & mask) product ^= b;
                b = (b >> 1) ^ (b & 1 ? POLYNOMIAL : 0);
            }
            factors[which] = product;
        }
        result = factors[0];
        square = factors[1];
    }
    return result;
}

#define LONG_STREAM 4096u
#define SHORT_STREAM 256u
// Multipliers that move a stream's CRC past one and past two streams; 33 bits less, because the reflected product of
// two 32-bit values carries a factor x, and the CRC instruction that reduces it carries 32 more.
static uint32_t long_once_past, long_twice_past, short_once_past, short_twice_past;

static void make_multipliers(void) {
    long_once_past = power_of_x(LONG_STREAM * 8 - 33);
    long_twice_past = power_of_x(2 * LONG_STREAM * 8 - 33);
    short_once_past = power_of_x(SHORT_STREAM * 8 - 33);
    short_twice_past = power_of_x(2 * SHORT_STREAM * 8 - 33);
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t moved(uint64_t crc, uint32_t multiplier) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi32_si128((int32_t)multiplier), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t three_streams(
    uint64_t crc, const uint8_t **data, size_t *length, size_t stream, uint32_t once, uint32_t twice) {
    const uint8_t *byte = *data;
    size_t left = *length;
    for (; left >= 3 * stream; left -= 3 * stream, byte += 3 * stream) {
        uint64_t second = 0, third = 0;
        for (size_t at = 0; at < stream; at += 8) {
            uint64_t a, b, c;
            memcpy(&a, byte + at, 8);
            memcpy(&b, byte + stream + at, 8);
            memcpy(&c, byte + 2 * stream + at, 8);
            crc = _mm_crc32_u64(crc, a);
            second = _mm_crc32_u64(second, b);
            third = _mm_crc32_u64(third, c);
        }
        crc = moved(crc, twice) ^ moved(second, once) ^ third;
    }
    *data = byte;
    *length = left;
    return crc;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc_sse_pclmul(uint32_t crc, const void *data, size_t length) {
    const uint8_t *byte = data;
    uint64_t state = (uint32_t)~crc;
    if (length >= 3 * LONG_STREAM)
        state = three_streams(state, &byte, &length, LONG_STREAM, long_once_past, long_twice_past);
    if (length >= 3 * SHORT_STREAM)
        state = three_streams(state, &byte, &length, SHORT_STREAM, short_once_past, short_twice_past);
    return ~(uint32_t)one_stream(state, byte, length);
}
#endif

#if defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif

__attribute__((target("+crc"))) static uint32_t crc_arm(uint32_t crc, const void *data, size_t length) {
    const uint8_t *byte = data;
    crc = ~crc;
    for (; length >= 8; byte += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, byte, 8);
        crc = __crc32cd(crc, word);
    }
    for (; length > 0; byte++, length--) crc = __crc32cb(crc, *byte);
    return ~crc;
}
#endif

typedef uint32_t (*crc_function)(uint32_t, const void *, size_t);

static const char *chosen_name = "table";

static crc_function choose(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2")) {
        if (__builtin_cpu_supports("pclmul")) {
            make_multipliers();
            chosen_name = "sse4.2+pclmul";
            return crc_sse_pclmul;
        }
        chosen_name = "sse4.2";
        return crc_sse;
    }
#elif defined(__aarch64__)
    if (getauxval(AT_HWCAP) & HWCAP_CRC32) {
        chosen_name = "armv8-crc";
        return crc_arm;
    }
#endif
    return hutong_crc32c_portable;
}

static crc_function chosen = hutong_crc32c_portable;

// Before main, so that the hot path pays one indirect call and no test.
__attribute__((constructor)) static void choose_at_start(void) { chosen = choose(); }

uint32_t hutong_crc32c(uint32_t crc, const void *data, size_t length) { return chosen(crc, data, length); }

const char *hutong_crc32c_name(void) { return chosen_name; }
