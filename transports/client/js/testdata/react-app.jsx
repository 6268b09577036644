import { Component, StrictMode, useState } from "react"
import { TriviumProvider, useTopic, useTriviumState } from "@trivium-hub/client/react"

function Texts({ id, topic, last }) {
  const events = useTopic(topic, { last })
  return <p id={id}>{events.map((event) => event.text).join(" ")}</p>
}

function Total() {
  const total = useTopic("orders.>", { last: 10, reduce: (sum = 0, { data }) => sum + data })
  return <p id="total">{total}</p>
}

function Status() {
  const { phase } = useTriviumState()
  return <p id="phase">{phase}</p>
}

class Boundary extends Component {
  state = {}
  static getDerivedStateFromError = (error) => ({ error })
  render = () => (this.state.error ? <p id="refused">{this.state.error.message}</p> : this.props.children)
}

function Parts() {
  const [shown, setShown] = useState([])
  return (
    <>
      <Status />
      <Texts id="prices" topic="prices.*" last={3} />
      <Total />
      {["more", "forbidden"].map((name) => (
        <button key={name} id={"show-" + name} onClick={() => setShown([...shown, name])}>{name}</button>
      ))}
      {shown.includes("more") && <Texts id="more" topic="t" last={1000} />}
      {shown.includes("more") && <Texts id="newest" topic="prices.*" last={1} />}
      {shown.includes("forbidden") && <Boundary><Texts id="forbidden" topic="secret" /></Boundary>}
    </>
  )
}

export function App(options) {
  return <StrictMode><TriviumProvider {...options}><Parts /></TriviumProvider></StrictMode>
}
