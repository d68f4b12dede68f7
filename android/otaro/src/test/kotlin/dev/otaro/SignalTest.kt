package dev.otaro

import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.toList
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

internal class SignalTest {
    @Test
    fun `memory pressure lowers the precision and gives memory back`() = real {
        withSession(SessionOptions(mantissaBits = 8)) { session ->
            session.complete("Once", LONG.copy(maxTokens = 8)).text()
            val before = session.metrics().weightBytes
            val moderate = session.signal(Signal.Memory(MemoryPressure.MODERATE))
            assertEquals(6, moderate.mantissaBits)
            assertTrue(moderate.changed && moderate.trimmed && moderate.reason.isNotBlank())
            val critical = session.signal(Signal.Memory(MemoryPressure.CRITICAL))
            assertEquals(3, critical.mantissaBits)
            assertTrue(session.metrics().weightBytes < before)
            assertEquals(8, session.metrics().wantedMantissaBits)
            assertEquals(critical.reason, session.metrics().lastDecision)
        }
    }

    @Test
    fun `heat lowers the precision in the middle of an answer`() = real {
        withSession(SessionOptions(mantissaBits = 8, minMantissaBits = 4)) { session ->
            val states = ArrayDeque(listOf(ThermalState.FAIR, ThermalState.SERIOUS, ThermalState.CRITICAL))
            val allowed = mutableListOf<Int>()
            val precisions = session.complete("Once upon a time", LONG)
                .onEach { states.removeFirstOrNull()?.let { allowed += session.signal(Signal.Thermal(it)).mantissaBits } }
                .map { it.mantissaBits }
                .toList()
            assertEquals(listOf(7, 6, 4), allowed)
            assertEquals(8, precisions.first())
            assertEquals(4, precisions.last())
        }
    }

    @Test
    fun `the largest signal counts`() = real {
        withSession(SessionOptions(mantissaBits = 7)) { session ->
            assertEquals(5, session.signal(Signal.BatterySaver(true)).mantissaBits)
            val cooler = session.signal(Signal.Thermal(ThermalState.FAIR))
            assertEquals(5, cooler.mantissaBits)
            assertFalse(cooler.changed)
            assertEquals(5, session.setPrecision(7))
            assertEquals(3, session.signal(Signal.Thermal(ThermalState.CRITICAL)).mantissaBits)
        }
    }
}
